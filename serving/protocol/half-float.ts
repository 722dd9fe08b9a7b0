/** The two 16-bit floating-point types of the protocol, which Node 20 has no typed array for. */

const scratch = new DataView(new ArrayBuffer(4));

/** IEEE 754 binary16. */
export function float16FromBits(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** To the nearest, ties to even; what is too large becomes an infinity. Rounds a double once, not by way of float32. */
export function float16Bits(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size >= 65_520) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | roundHalfToEven(size * 2 ** 24);
  let exponent = Math.floor(Math.log2(size));
  // The logarithm of a number just below a power of two may round up to it.
  if (2 ** exponent > size) exponent -= 1;
  const units = roundHalfToEven((size / 2 ** exponent) * 1024);
  // 2048 units are the next power of two: adding, not masking, carries them into the exponent.
  return sign | (((exponent + 15) << 10) + (units - 1024));
}

/** The upper half of a float32. */
export function bfloat16FromBits(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}

/** To the nearest, ties to even. */
export function bfloat16Bits(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40;
  const odd = (bits >>> 16) & 1;
  return ((bits + 0x7fff + odd) >>> 16) & 0xffff;
}

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest < 0.5) return floor;
  if (rest > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}
