import t from 'tap'
import { Socket, type LookupFunction } from 'node:net'
import type { LookupAddress } from 'node:dns'
import { createFencedConnector, type Lookup } from '../../src/bots/ssrf-guard.ts'

// Which addresses belong to our own network.

t.test('addresses of cloud platforms, and addresses that embed or map to internal ones, are internal', async t => {
  const inside = [
    '168.63.129.16', '169.254.169.254', '169.254.170.2', '169.254.170.23', '169.254.169.123', '169.254.0.23', '100.100.100.200', '100.100.2.136', '192.0.0.192',
    '161.26.0.10', '166.9.48.1', 'fd00:ec2::254', 'fd00:ec2::23', 'fd20:ce::254', 'fe80::a9fe:a9fe', 'fe80::1%lo',
    '127.0.0.1', '10.0.0.1', '172.16.0.1', '192.168.0.1', '0.0.0.0', '255.255.255.255', '224.0.0.1', '100.64.0.1', '198.18.0.1', '192.0.2.1', '203.0.113.1', '192.88.99.1', '240.0.0.1',
    '::1', '::', 'fc00::1', 'ff02::1', '::ffff:168.63.129.16', '::ffff:10.0.0.1', '::10.0.0.1', '64:ff9b::a83f:8110', '64:ff9b::808:808', '64:ff9b:1::a00:1', '2002:a83f:8110::1', '2002:808:808::1',
    '2001::1', '2001:0:a83f:8110::', '2001:10::1', '2001:20::1', '2001:db8::1', '3fff::1', '100::1', '5f00::1'
  ]
  const outside = ['8.8.8.8', '168.63.129.15', '161.25.0.1', '166.12.0.1', '2606:4700:4700::1111', '2a00:1450:4001::1', '::ffff:8.8.8.8']
  // A name that resolves to the address. No connection to the public ones is made: `connect` is stopped before it begins.
  t.capture(Socket.prototype, 'connect', function (this: Socket, [options]: [{ host: string, lookup: LookupFunction }]) {
    options.lookup(options.host, { all: true }, error => this.destroy(error ?? new Error('would connect')))
    return this
  })
  const mayConnect = async (address: string) => {
    const lookup = ((_name: string, _options: object, found: (error: null, addresses: LookupAddress[]) => void) => {
      found(null, [{ address, family: address.includes(':') ? 6 : 4 }])
    }) as unknown as Lookup
    const connector = createFencedConnector('', 50, lookup)
    return await new Promise<boolean>(resolve => {
      connector({ hostname: 'name.example', host: 'name.example', protocol: 'http:', port: '1' }, (...[error]) => resolve(error?.message === 'would connect'))
    })
  }
  for (const address of inside) t.equal(await mayConnect(address), false, address)
  for (const address of outside) t.equal(await mayConnect(address), true, address)
})
