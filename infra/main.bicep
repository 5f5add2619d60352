// All Azure resources of Parley. docs/deploy-azure.md explains the deployment step by step.

@description('Prefix of the names of all resources; letters and digits.')
@minLength(3)
@maxLength(12)
param name string = 'parley'

param location string = resourceGroup().location

@description('The image of the app. Leave it empty at the first deployment, when the registry does not exist yet: then no app is deployed.')
param image string = ''

@description('Signs the session tokens; at least 32 characters.')
@secure()
@minLength(32)
param jwtSecret string

@description('Password of the database; letters and digits, since it becomes part of a URL.')
@secure()
@minLength(16)
param databasePassword string

@description('The URL at which browsers reach the app, such as https://chat.example.com. Empty: the address that Azure assigns.')
param publicUrl string = ''

@description('Minimum number of instances.')
@minValue(1)
param minReplicas int = 2
@description('Maximum number of instances.')
@minValue(1)
param maxReplicas int = 5

@description('The GitHub repository whose workflow deploys, as owner/name. Empty: no workflow can deploy.')
param githubRepository string = ''

var suffix = uniqueString(resourceGroup().id)
var databaseUser = 'parley'

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${name}-app'
  location: location
}

module registry 'registry.bicep' = {
  name: 'registry'
  params: {
    name: '${name}${suffix}'
    location: location
    pullerId: identity.properties.principalId
  }
}

module database 'postgres.bicep' = {
  name: 'postgres'
  params: {
    name: '${name}-${suffix}'
    location: location
    user: databaseUser
    password: databasePassword
  }
}

module vault 'vault.bicep' = {
  name: 'vault'
  params: {
    name: '${name}-${take(suffix, 10)}'
    location: location
    readerId: identity.properties.principalId
    jwtSecret: jwtSecret
    databaseUrl: 'postgres://${databaseUser}:${databasePassword}@${database.outputs.host}:5432/parley?sslmode=verify-full'
  }
}

module app 'app.bicep' = if (!empty(image)) {
  name: 'app'
  params: {
    name: name
    location: location
    image: image
    identityId: identity.id
    registryServer: registry.outputs.server
    jwtSecretUri: vault.outputs.jwtSecretUri
    databaseUrlUri: vault.outputs.databaseUrlUri
    publicUrl: publicUrl
    minReplicas: minReplicas
    maxReplicas: maxReplicas
  }
}

module deployer 'deployer.bicep' = if (!empty(githubRepository)) {
  name: 'deployer'
  params: {
    name: '${name}-deployer'
    location: location
    githubRepository: githubRepository
  }
}

output url string = empty(image) ? '' : app!.outputs.url
output AZURE_REGISTRY string = registry.outputs.name
output AZURE_APP string = name
output AZURE_MIGRATION_JOB string = '${name}-migrate'
output AZURE_CLIENT_ID string = empty(githubRepository) ? '' : deployer!.outputs.clientId
