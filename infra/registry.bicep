// The container registry. Only the app's identity can pull images; there is no admin user with a password.
param name string
param location string
param pullerId string

var acrPull = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '7f951dda-4ed3-4680-a7ca-43fe172d538d')

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' = {
  name: name
  location: location
  sku: { name: 'Basic' }
  properties: { adminUserEnabled: false }
}

resource mayPull 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(registry.id, pullerId, acrPull)
  scope: registry
  properties: { roleDefinitionId: acrPull, principalId: pullerId, principalType: 'ServicePrincipal' }
}

output name string = registry.name
output server string = registry.properties.loginServer
