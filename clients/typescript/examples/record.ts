// Record a WAV file as if it were a call, and print the recording.
//
//     node dist/examples/record.js HOST:PORT APPLICATION_ID PRIVATE_KEY_FILE WAV_FILE

import { readFile } from "node:fs/promises";
import { argv, exit } from "node:process";

import { applicationToken, Client, LegRole, readWav, recordAction, RecordingSchema, toJson } from "recorder-client";

const [target, applicationId, keyFile, wavFile] = argv.slice(2);
if (target === undefined || applicationId === undefined || keyFile === undefined || wavFile === undefined) {
  console.error("usage: node record.js HOST:PORT APPLICATION_ID PRIVATE_KEY_FILE WAV_FILE");
  exit(2);
}
const privateKeyPem = await readFile(keyFile, "utf8");
const { payload, ...format } = readWav(await readFile(wavFile));

using client = new Client(target, { token: () => applicationToken(applicationId, privateKeyPem) });
await using call = await client.recordCall({
  legs: [{ legId: "caller", role: LegRole.CALLER, ...format }],
  ncco: recordAction({ format: "wav" }),
});
await call.write({ caller: payload });
await call.close();
console.log(JSON.stringify(toJson(RecordingSchema, await call.completed()), undefined, 2));
