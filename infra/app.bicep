// The app (several replicas behind Azure's ingress), and the job that migrates the database before a deployment.
param name string
param location string
param image string
param identityId string
param registryServer string
param jwtSecretUri string
param databaseUrlUri string
param publicUrl string
param minReplicas int
param maxReplicas int

var secrets = [
  { name: 'jwt-secret', keyVaultUrl: jwtSecretUri, identity: identityId }
  { name: 'database-url', keyVaultUrl: databaseUrlUri, identity: identityId }
]
var registries = [{ server: registryServer, identity: identityId }]
var settings = [
  { name: 'DATABASE_URL', secretRef: 'database-url' }
  { name: 'JWT_SECRET', secretRef: 'jwt-secret' }
  { name: 'PUBLIC_URL', value: empty(publicUrl) ? 'https://${name}.${environment.properties.defaultDomain}' : publicUrl }
  // The ingress is a proxy in the environment's own network and sends the client's address in X-Forwarded-For.
  { name: 'TRUST_PROXY', value: 'uniquelocal, 100.64.0.0/10' }
]

resource logs 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: '${name}-logs'
  location: location
  properties: { sku: { name: 'PerGB2018' }, retentionInDays: 30 }
}

resource environment 'Microsoft.App/managedEnvironments@2024-03-01' = {
  name: '${name}-environment'
  location: location
  properties: {
    appLogsConfiguration: {
      destination: 'log-analytics'
      logAnalyticsConfiguration: { customerId: logs.properties.customerId, sharedKey: logs.listKeys().primarySharedKey }
    }
  }
}

resource app 'Microsoft.App/containerApps@2024-03-01' = {
  name: name
  location: location
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
  properties: {
    environmentId: environment.id
    configuration: {
      activeRevisionsMode: 'Single' // the old revision serves until the new one is ready
      registries: registries
      secrets: secrets
      ingress: {
        external: true
        targetPort: 5000
        transport: 'auto'
        stickySessions: { affinity: 'sticky' } // Socket.IO's polling needs all requests of a session on one instance
      }
    }
    template: {
      terminationGracePeriodSeconds: 30
      scale: {
        minReplicas: minReplicas
        maxReplicas: maxReplicas
        rules: [{ name: 'requests', http: { metadata: { concurrentRequests: '200' } } }]
      }
      containers: [
        {
          name: 'parley'
          image: image
          resources: { cpu: json('1.0'), memory: '2Gi' }
          env: settings
          probes: [
            { type: 'Startup', httpGet: { path: '/health/live', port: 5000 }, periodSeconds: 2, failureThreshold: 30 }
            { type: 'Readiness', httpGet: { path: '/health/ready', port: 5000 }, periodSeconds: 5, failureThreshold: 3 }
            { type: 'Liveness', httpGet: { path: '/health/live', port: 5000 }, periodSeconds: 10, failureThreshold: 6 }
          ]
        }
      ]
    }
  }
}

resource migration 'Microsoft.App/jobs@2024-03-01' = {
  name: '${name}-migrate'
  location: location
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
  properties: {
    environmentId: environment.id
    configuration: {
      triggerType: 'Manual'
      manualTriggerConfig: { parallelism: 1, replicaCompletionCount: 1 }
      replicaTimeout: 1800
      replicaRetryLimit: 0
      registries: registries
      secrets: secrets
    }
    template: {
      containers: [
        {
          name: 'migrate'
          image: image
          command: ['node', 'dist/db/command.js', 'migrate']
          resources: { cpu: json('0.5'), memory: '1Gi' }
          env: settings
        }
      ]
    }
  }
}

output url string = 'https://${app.properties.configuration.ingress.fqdn}'
