import { findSlot, freeSlot, takeSlot } from "../../../assembly/request/streamSlots";

/** Slots of the near part. */
const NEAR: u32 = 128;

describe("a stream's slot", () => {
  it("is found by the stream alone, until it's freed", () => {
    const slot = takeSlot(1000);
    expect(takeSlot(1000)).toBe(slot);
    expect(findSlot(1000)).toBe(slot);
    expect(findSlot(1001)).toBe(0);
    expect(findSlot(1000 + NEAR)).toBe(0);
    freeSlot(slot);
    expect(findSlot(1000)).toBe(0);
  });

  it("isn't taken by a later stream, nor by an earlier one that was held", () => {
    const first = takeSlot(2000 + NEAR);
    const later = takeSlot(2000 + 2 * NEAR);
    const held = takeSlot(2000);
    expect(findSlot(2000 + NEAR)).toBe(first);
    expect(findSlot(2000 + 2 * NEAR)).toBe(later);
    expect(findSlot(2000)).toBe(held);
    expect(held != first && held != later && first != later).toBeTruthy();
    for (let n: u32 = 0; n < 3; n++) freeSlot(findSlot(2000 + n * NEAR));
  });

  it("of a stream that ended without a response is taken when the ring has come round", () => {
    const slot = takeSlot(5000);
    const again = takeSlot(5000 + 64 * NEAR);
    expect(again).toBe(slot);
    expect(findSlot(5000)).toBe(0);
    freeSlot(again);
  });
});
