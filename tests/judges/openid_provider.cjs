// A provider of OpenID Connect that nobody here wrote, with its own pages to sign in and to agree; prints its address.
const { generateKeyPairSync } = require('node:crypto');
const http = require('node:http');
const { Provider } = require('oidc-provider');

const { clients, people } = JSON.parse(process.argv[2]);

const made = [generateKeyPairSync('rsa', { modulusLength: 2048 }), generateKeyPairSync('ec', { namedCurve: 'P-256' })];
const keys = made.map((pair) => ({ ...pair.privateKey.export({ format: 'jwk' }), use: 'sig' }));

// Nothing is said to it: its input ends with whoever started it.
process.stdin.resume().on('end', () => process.exit());

const server = http.createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients,
    jwks: { keys },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'HS256'] },
    findAccount: (context, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
    cookies: { keys: ['a key of the tests'] },
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
