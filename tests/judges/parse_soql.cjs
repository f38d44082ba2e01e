// Parses each SOQL statement of the JSON list at standard input; prints for each null, or why it is no SOQL.
const fs = require('node:fs');
const { parseQuery } = require('soql-parser-js');

const told = JSON.parse(fs.readFileSync(0, 'utf8')).map((soql) => {
  try {
    parseQuery(soql);
    return null;
  } catch (error) {
    return String(error.message ?? error);
  }
});
process.stdout.write(JSON.stringify(told));
