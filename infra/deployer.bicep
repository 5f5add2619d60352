// The identity that deploys: the workflow of one GitHub repository in its environment `production` logs in with OpenID Connect.
param name string
param location string
param githubRepository string

var contributor = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'b24988ac-6180-42a0-ab88-20f7382dd24c')

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: name
  location: location
}

resource trust 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = {
  parent: identity
  name: 'github'
  properties: {
    issuer: 'https://token.actions.githubusercontent.com'
    subject: 'repo:${githubRepository}:environment:production'
    audiences: ['api://AzureADTokenExchange']
  }
}

// Contributor of this resource group only: it can push images and deploy, but cannot grant rights to anybody.
resource mayDeploy 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(resourceGroup().id, identity.id, contributor)
  properties: { roleDefinitionId: contributor, principalId: identity.properties.principalId, principalType: 'ServicePrincipal' }
}

output clientId string = identity.properties.clientId
