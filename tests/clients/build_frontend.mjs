// Builds the frontend with Vite: `node build_frontend.mjs FOLDER 18|19 RELAY_URL`. The folder holds the page's sources;
// the build goes to its `dist-18` or `dist-19`.
import { join } from "node:path";
import { build } from "vite";

const [folder, react, relay] = process.argv.slice(2);
const modules = join(import.meta.dirname, "node_modules");
const names = { 19: ["react", "react-dom"], 18: ["react-18", "react-dom-18"] }[react];

await build({
  root: folder,
  base: "./",
  build: { outDir: `dist-${react}` },
  logLevel: "warn",
  envFile: false,
  define: { "import.meta.env.VITE_RELAY": JSON.stringify(relay) },
  resolve: { alias: { react: join(modules, names[0]), "react-dom": join(modules, names[1]) } },
});
