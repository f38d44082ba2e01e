// A token server that nobody here wrote, set up as Entra is where it can be; prints its address once it listens.
const http = require('node:http');
const { Provider, interactionPolicy } = require('oidc-provider');

const { tenant, clients, scopes } = JSON.parse(process.argv[2]);
const home = `/${tenant}/v2.0`;

const policy = interactionPolicy.base();
// Entra's page to choose an account, which this server has no page for.
policy.add(new interactionPolicy.Prompt({ name: 'select_account', requestable: true }), 0);

// Whoever sits at the browser names themselves in a header; who names nobody declines.
async function decide(provider, request, response) {
  const { params } = await provider.interactionDetails(request, response);
  const accountId = request.headers['x-person'];
  if (!accountId) {
    const declined = { error: 'access_denied', error_description: 'the person declined' };
    return provider.interactionFinished(request, response, declined);
  }
  const grant = new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const grantId = await grant.save();
  const result = { login: { accountId }, select_account: {}, consent: { grantId } };
  return provider.interactionFinished(request, response, result);
}

function provide(origin) {
  const provider = new Provider(`https://${origin}${home}`, {
    clients,
    scopes: ['openid', 'profile', 'offline_access', ...scopes],
    claims: { openid: ['sub'], profile: ['preferred_username'] },
    // Entra puts who it is into the id token.
    conformIdTokenClaims: false,
    findAccount: (context, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id }) }),
    interactions: { policy, url: (context, interaction) => `${home}/interaction/${interaction.uid}` },
    // The browser of the tests speaks plain http to this machine.
    cookies: { keys: ['a key of the tests'], long: { secure: false }, short: { secure: false } },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      revocation: { enabled: true },
    },
  });
  provider.proxy = true;
  return provider;
}

// Nothing is said to it: its input ends with whoever started it.
process.stdin.resume().on('end', () => process.exit());

const server = http.createServer();
server.listen(0, '127.0.0.1', () => {
  const origin = `127.0.0.1:${server.address().port}`;
  const provider = provide(origin);
  const answer = provider.callback();
  server.on('request', (request, response) => {
    // msal takes https addresses alone; the connector's client speaks plain http to this machine.
    request.headers['x-forwarded-proto'] = 'https';
    if (request.url.startsWith(`${home}/interaction/`)) {
      decide(provider, request, response).catch((error) => response.writeHead(500).end(String(error)));
    } else if (request.url.startsWith(`${home}/`)) {
      // This server grants offline_access after prompt=consent alone, Entra to whoever asks for it.
      request.originalUrl = request.url.replace('prompt=', 'prompt=consent+');
      request.url = request.originalUrl.slice(home.length);
      answer(request, response);
    } else {
      response.writeHead(404).end();
    }
  });
  console.log(`http://${origin}`);
});
