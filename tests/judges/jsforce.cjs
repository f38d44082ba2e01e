// Uses the simulated Salesforce as jsforce uses the real one; prints what each step gave, by name.
const fs = require('node:fs');
const { Connection, OAuth2 } = require('jsforce');

const { url, username, password, app, redirect, view, report } = JSON.parse(fs.readFileSync(0, 'utf8'));
const KEY = 'Connector_Intent_Id__c';
const version = '60.0';
const told = {};

const failure = async (promise) => {
  try {
    return { unexpected: await promise };
  } catch (error) {
    return { code: error.errorCode ?? error.name, message: error.message };
  }
};

const act = (action, more = {}) =>
  fetch(`${url}/sandbox/act`, { method: 'POST', body: JSON.stringify({ action, ...more }) });

async function signIn() {
  told.badLogin = await failure(new Connection({ loginUrl: url, version }).login(username, 'wrong'));
  const soap = new Connection({ loginUrl: url, version });
  told.login = await soap.login(username, password);
  told.soapIdentity = (await soap.identity()).username;

  const oauth2 = new OAuth2({ loginUrl: url, clientId: app.id, clientSecret: app.secret, redirectUri: redirect, useVerifier: true });
  const address = oauth2.getAuthorizationUrl({ scope: 'api refresh_token', state: 'here' });
  const answer = await fetch(`${address}&login_hint=${encodeURIComponent(username)}`, { redirect: 'manual' });
  const back = new URL(answer.headers.get('location'));
  const browser = new Connection({ oauth2, version });
  told.authorize = await browser.authorize(back.searchParams.get('code'));
  told.refreshToken = Boolean(browser.refreshToken);
  const before = browser.accessToken;
  await act('salesforce_sessions_end');
  told.afterRefresh = (await browser.query('SELECT Id FROM Task')).totalSize;
  told.sessionChanged = browser.accessToken !== before;
  told.usedCode = await failure(new Connection({ oauth2, version }).authorize(back.searchParams.get('code')));

  const own = new Connection({ loginUrl: url, instanceUrl: url, version, oauth2: { loginUrl: url, clientId: app.id, clientSecret: app.secret } });
  await own.authorize({ grant_type: 'client_credentials' });
  return own;
}

async function records(conn) {
  const task = conn.sobject('Task');
  const meta = await task.describe();
  told.describe = { name: meta.name, fields: meta.fields.filter((each) => each.name === KEY) };
  told.global = (await conn.describeGlobal()).sobjects.map((each) => each.name);
  const made = await task.create({ Subject: 'one' });
  told.create = made;
  told.retrieve = (await task.retrieve(made.id)).Subject;
  told.update = await task.update({ Id: made.id, Subject: 'two' });
  told.upsertNew = await task.upsert({ [KEY]: 'k1', Subject: 'new' }, KEY);
  told.upsertOld = await task.upsert({ [KEY]: 'k1', Subject: 'old' }, KEY);
  told.createMany = await task.create([{ Subject: 'a' }, { Subject: 'x'.repeat(256) }, { Subject: 'b' }]);
  told.rolledBack = await task.create([{ Subject: 'c' }, { Status: 'Nonsense' }], { allOrNone: true });
  told.upsertMany = await task.upsert([{ [KEY]: 'k1', Subject: 'again' }, { [KEY]: 'k2', Subject: 'fresh' }], KEY);
  told.destroyMany = await task.destroy([made.id, '00T000000000000AAA']);
  told.badCreate = await failure(task.create({ Nonsense: 1 }));
  told.badRetrieve = await failure(task.retrieve('00T000000000000AAA'));
  told.find = (await task.find({ Subject: { $like: 'fre%' } }, 'Id, Subject').limit(1)).map((each) => each.Subject);
}

async function queries(conn) {
  const many = Array.from({ length: 200 }, (_, n) => ({ Subject: `page ${n}` }));
  for (let turn = 0; turn < 3; turn += 1) await conn.sobject('Task').create(many);
  const soql = "SELECT Id, Subject, Who.Name FROM Task WHERE Subject LIKE 'page%'";
  const first = await conn.query(soql);
  const second = await conn.queryMore(first.nextRecordsUrl);
  told.pages = [first.totalSize, first.records.length, first.done, second.records.length];
  const all = await conn.query(soql, { autoFetch: true, maxFetch: 1000 });
  told.fetched = all.records.length;
  told.deletedToo = (await conn.query("SELECT Id FROM Task WHERE IsDeleted = true", { scanAll: true })).totalSize;
  told.count = (await conn.query('SELECT COUNT() FROM Task')).totalSize;
  told.malformed = await failure(conn.query('SELECT FROM Task'));
  told.unknownField = await failure(conn.query('SELECT Nonsense FROM Task'));
  const base = `/services/data/v${version}`;
  const body = {
    allOrNone: false,
    compositeRequest: [
      { method: 'POST', url: `${base}/sobjects/Task`, referenceId: 'made', body: { Subject: 'inside' } },
      { method: 'GET', url: `${base}/query?q=SELECT+Subject+FROM+Task+WHERE+Id='@{made.id}'`, referenceId: 'found' },
      { method: 'GET', url: `${base}/sobjects/Task/@{made.id}?fields=Subject`, referenceId: 'read' },
    ],
  };
  told.composite = (await conn.requestPost(`${base}/composite`, body)).compositeResponse;
  told.limits = await conn.limits();
  told.limitInfo = conn.limitInfo.apiUsage;
  told.listviews = (await conn.sobject('Lead').listviews()).listviews.map((each) => each.label);
  told.listview = (await conn.sobject('Lead').listview(view).results()).size;
  told.report = (await conn.analytics.report(report).execute({ details: true })).factMap['T!T'].rows.length;
}

(async () => {
  const conn = await signIn();
  await records(conn);
  await queries(conn);
  process.stdout.write(JSON.stringify(told));
})().catch((error) => {
  process.stderr.write(`${error.stack}\n${JSON.stringify(told)}`);
  process.exit(1);
});
