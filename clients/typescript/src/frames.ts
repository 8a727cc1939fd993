/**
 * A position, in frames since the recording began. Messages hold 64-bit integers as bigint, which is exact; methods
 * take a number as well, and refuse one that is not a safe integer (a call would have to last 5900 years at 48 kHz).
 */
export type Frame = number | bigint;

/**
 * Check a position.
 *
 * @throws RangeError if it is not an integer that a number can hold exactly.
 */
export function toFrameNumber(frame: Frame, name: string): number {
  const value = Number(frame);
  if (!Number.isSafeInteger(value)) throw new RangeError(`${name} is ${String(frame)}; give a whole number of frames`);
  return value;
}

/** Give a position as messages hold it; undefined stays so. */
export function toFrameField(frame: Frame | undefined, name: string): { frame?: bigint } {
  return frame === undefined ? {} : { frame: BigInt(toFrameNumber(frame, name)) };
}
