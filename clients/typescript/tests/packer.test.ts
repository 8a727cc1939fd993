import assert from "node:assert/strict";
import { test } from "node:test";

import { create } from "@bufbuild/protobuf";
import { AudioEncoding, LegSchema } from "recorder-client/v1";

import { MAX_CHUNK_BYTES, Packer } from "../src/packer.js";

const caller = create(LegSchema, { legId: "caller", encoding: AudioEncoding.LINEAR16, sampleRateHz: 16_000 });
const callee = create(LegSchema, { legId: "callee", encoding: AudioEncoding.MULAW, sampleRateHz: 8_000 });
const bytes = (size: number, value = 1) => Buffer.alloc(size, value);

function taken(packer: Packer): [string | undefined, bigint | undefined, number | undefined][] {
  return (packer.take().audio.chunks ?? []).map((chunk) => [chunk.legId, chunk.startFrame, chunk.payload?.length]);
}

test("pieces of all legs become one message, a chunk a leg", () => {
  const packer = new Packer([caller, callee], 100);
  for (let piece = 0; piece < 5; piece += 1) {
    assert.equal(packer.due, false);
    packer.add("caller", bytes(640));
    packer.add("callee", bytes(160));
  }
  assert.equal(packer.due, true);
  assert.deepEqual(taken(packer), [["caller", 0n, 3200], ["callee", 0n, 800]]);
  assert.deepEqual([packer.due, packer.empty], [false, true]);
  assert.deepEqual([packer.position("caller"), packer.position("callee")], [1600, 800]);
});

test("a jump in a leg's frames begins another chunk, and what follows goes on from there", () => {
  const packer = new Packer([caller], 100);
  packer.add("caller", bytes(640));
  packer.add("caller", bytes(640), 16_000n);
  packer.add("caller", bytes(640));
  const { audio, ends } = packer.take();
  assert.deepEqual((audio.chunks ?? []).map((chunk) => chunk.startFrame), [0n, 16_000n]);
  assert.deepEqual([...ends], [["caller", 16_640]]);
});

test("a payload is cut at the length of a message, and a chunk never exceeds 64 KiB", () => {
  const packer = new Packer([caller], 5_000);
  const pieces = [...packer.pieces("caller", bytes(200_000))];
  assert.deepEqual(pieces.map((piece) => piece.length), [65_536, 65_536, 65_536, 3_392]);
  for (const piece of pieces) packer.add("caller", piece);
  assert.ok(taken(packer).every(([, , size]) => (size ?? 0) <= MAX_CHUNK_BYTES));
  assert.deepEqual([...new Packer([caller], 100).pieces("caller", bytes(4_000))].map((piece) => piece.length), [3200, 800]);
});

test("what was written is copied: the caller may use its buffer again", () => {
  const packer = new Packer([caller], 100);
  const buffer = bytes(4, 7);
  packer.add("caller", buffer);
  buffer.fill(0);
  assert.deepEqual(packer.take().audio.chunks?.[0]?.payload, bytes(4, 7));
});

test("unknown legs, partial frames, inexact positions and impossible settings are refused", () => {
  const packer = new Packer([caller], 100);
  assert.throws(() => { packer.check("nobody", bytes(2)); }, /"nobody" is not one of this call's: caller/);
  assert.throws(() => { packer.check("caller", bytes(3)); }, /3 bytes/);
  assert.throws(() => { packer.check("caller", bytes(2), 0.5); }, /frame of leg caller is 0.5/);
  assert.throws(() => { packer.check("caller", bytes(2), 2n ** 60n); }, RangeError);
  assert.throws(() => new Packer([caller], 0), /messageMs is 0/);
  assert.throws(() => new Packer([], 100), /legs is empty/);
});
