// What Parley needs in Azure; docs/deploy-azure.md leads through it.

@description('Begins the names of everything; letters and digits.')
@minLength(3)
@maxLength(12)
param name string = 'parley'

param location string = resourceGroup().location

@description('The image of the app; empty, as long as the registry is not there yet to have one: no app.')
param image string = ''

@description('Signs the session tokens; at least 32 characters.')
@secure()
@minLength(32)
param jwtSecret string

@description('Of the database; letters and digits, since it becomes part of a URL.')
@secure()
@minLength(16)
param databasePassword string

@description('Where browsers reach it, as https://chat.example.com; empty: the address that Azure gives.')
param publicUrl string = ''

@description('Instances at least and at most.')
@minValue(1)
param minReplicas int = 2
@minValue(1)
param maxReplicas int = 5

@description('The repository whose workflow deploys, as owner/name; empty: nobody\'s.')
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
