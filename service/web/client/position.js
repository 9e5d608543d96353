/** Positions in the stream of an account's events: `TX-NO`, the transaction and the event's number in it. */

/**
 * Which of two positions is further on: above 0 if the first.
 * @param {string} one
 * @param {string} other '' is before everything
 */
export function order(one, other) {
  if (one === other) return 0
  if (!one || !other) return one ? 1 : -1
  const [a = '0', b = '0'] = one.split('-')
  const [c = '0', d = '0'] = other.split('-')
  // Whole numbers without zeros in front: the longer one is larger.
  return a.length - c.length || (a < c ? -1 : a > c ? 1 : b.length - d.length || (b < d ? -1 : b > d ? 1 : 0))
}
