// What the README says works.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { readWav } from "recorder-client";

import { noise, wav } from "./audio.js";
import { noServer, Server } from "./server.js";

const PACKAGE = resolve(import.meta.dirname, "../..");
const SERVED = "127.0.0.1:50051";

test("the program of the README records a file", { skip: noServer, timeout: 60_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "recorder-ts-readme-"));
  await using server = await Server.start();
  const { applicationId, privateKeyPem } = await server.tenant();
  const [, program = ""] = /```js\n(.*?)```/s.exec(await readFile(join(PACKAGE, "README.md"), "utf8")) ?? [];
  assert.ok(program.includes(SERVED));
  await mkdir(join(folder, "node_modules"));
  await symlink(PACKAGE, join(folder, "node_modules/recorder-client"));
  await writeFile(join(folder, "record.mjs"), program.replace(SERVED, server.target));
  await writeFile(join(folder, "demo.key"), privateKeyPem);
  await writeFile(join(folder, "call.wav"), wav(noise(1_500)));
  const ran = await promisify(execFile)(process.execPath, ["record.mjs", applicationId, "demo.key", "call.wav"], { cwd: folder });
  assert.match(ran.stdout, /^[0-9a-f-]{36} http/);
  assert.ok(readWav(await readFile(join(folder, "recording.wav"))).payload.equals(noise(1_500)));
  await rm(folder, { recursive: true });
});
