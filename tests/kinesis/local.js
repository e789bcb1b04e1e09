// Kinesis and DynamoDB of third parties, each on a free port of 127.0.0.1: kinesis-local and dynalite. Prints `kinesis URL` and
// `dynamodb URL`, and serves until its standard input ends.

const net = require("net");
const path = require("path");

const modules = path.join(__dirname, "../../.tools/node_modules");
const PLAIN = 4588;
const listen = net.Server.prototype.listen;

// Whoever listens, listens on a free port of this host alone.
net.Server.prototype.listen = function (...args) {
  const options = typeof args[0] === "object" ? args[0] : {port: Number(args[0])};
  const listening = args.find(argument => typeof argument === "function");
  const asked = options.port;
  this.once("listening", () => {
    if (asked === PLAIN) say("kinesis", this.address().port);
  });
  return listen.call(this, {port: 0, host: "127.0.0.1"}, ...(listening ? [listening] : []));
};

function say(service, port) {
  console.log(`${service} http://127.0.0.1:${port}`);
}

const dynamodb = require(path.join(modules, "dynalite"))({createTableMs: 0, deleteTableMs: 0});
dynamodb.listen(0, "127.0.0.1", () => say("dynamodb", dynamodb.address().port));

Object.assign(process.env, {
  KINESIS_MOCK_PLAIN_PORT: String(PLAIN),
  KINESIS_MOCK_TLS_PORT: String(PLAIN - 1),
  LOG_LEVEL: "ERROR",
  AWS_ACCOUNT_ID: "111111111111",
  CREATE_STREAM_DURATION: "10ms",
  SPLIT_SHARD_DURATION: "10ms",
  MERGE_SHARDS_DURATION: "10ms",
  REGISTER_STREAM_CONSUMER_DURATION: "10ms",
});
process.chdir(path.join(modules, "kinesis-local"));
require(path.join(modules, "kinesis-local/main.js"));

process.stdin.on("end", () => process.exit(0)).resume();
