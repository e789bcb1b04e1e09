// Asks IAM's rules of a foreign simulator: reads a list of simulations from standard input, and writes a list of answers.

const fs = require("fs");
const path = require("path");
const {createRequire} = require("module");
const {runSimulation} = createRequire(path.join(__dirname, "../../.tools/"))("@cloud-copilot/iam-simulate");

async function main() {
  const answers = [];
  for (const simulation of JSON.parse(fs.readFileSync(0, "utf8"))) {
    const found = await runSimulation(simulation, {});
    answers.push(found.resultType === "single" ? found.overallResult : "error: " + JSON.stringify(found));
  }
  fs.writeFileSync(1, JSON.stringify(answers));
}

main().catch(error => {
  console.error(error);
  process.exit(1);
});
