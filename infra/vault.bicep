// The key vault with the secrets. Only the app's identity can read them.
param name string
param location string
param readerId string
@secure()
param jwtSecret string
@secure()
param databaseUrl string

var secretsUser = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: name
  location: location
  properties: {
    tenantId: subscription().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
  }
}

resource jwt 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = {
  parent: vault
  name: 'jwt-secret'
  properties: { value: jwtSecret }
}

resource url 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = {
  parent: vault
  name: 'database-url'
  properties: { value: databaseUrl }
}

resource mayRead 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, readerId, secretsUser)
  scope: vault
  properties: { roleDefinitionId: secretsUser, principalId: readerId, principalType: 'ServicePrincipal' }
}

// URIs without a version, so that the app gets a new version of a secret automatically.
output jwtSecretUri string = '${vault.properties.vaultUri}secrets/${jwt.name}'
output databaseUrlUri string = '${vault.properties.vaultUri}secrets/${url.name}'
