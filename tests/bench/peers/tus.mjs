// @tus/server with its own store of files: `node tus.mjs FOLDER PORT`.
import { createRequire } from "node:module";

const require = createRequire(`${process.env.BENCH_MODULES}/`);
const { Server } = require("@tus/server");
const { FileStore } = require("@tus/file-store");

const [folder, port] = process.argv.slice(2);
const server = new Server({ path: "/files", datastore: new FileStore({ directory: folder }) });
server.listen({ host: "127.0.0.1", port: Number(port) }, () => console.log("listening"));
