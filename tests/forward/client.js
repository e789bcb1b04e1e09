// Sends the lines of a file to a port in each mode of the protocol, and waits until every one is acknowledged.

const fs = require("fs");
const path = require("path");
const {FluentClient} = require(path.join(__dirname, "../../.tools/node_modules/@fluent-org/logger"));

async function main() {
  const [port, file, sharedKey] = process.argv.slice(2);
  const lines = fs.readFileSync(file, "utf8").split("\n").filter(line => line !== "");
  const modes = ["Message", "Forward", "PackedForward", "CompressedPackedForward"];
  const size = Math.ceil(lines.length / modes.length);
  for (const [index, eventMode] of modes.entries()) {
    const client = new FluentClient("app", {
      eventMode,
      ack: {ackTimeout: 60000},
      security: {clientHostname: "client", sharedKey},
      socket: {host: "127.0.0.1", port: Number(port), timeout: 60000},
    });
    const sent = lines.slice(index * size, (index + 1) * size).map(line => client.emit({log: line}));
    await client.flush();
    await Promise.all(sent);
    await client.shutdown();
  }
}

main().then(() => process.exit(0), error => {
  console.error(error);
  process.exit(1);
});
