import type { Row } from './row.ts'

/** Functions that each measure a figure in one round. */
export type Contest = Record<string, () => Promise<number>>

/**
 * Runs the measurements in turn, round by round, so that other work on the machine affects all of them alike. Returns the
 * figures of each, one for each round.
 */
export async function inTurns<C extends Contest> (contest: C, rounds: number): Promise<Record<keyof C, number[]>> {
  const figures = Object.fromEntries(Object.keys(contest).map(name => [name, [] as number[]])) as Record<keyof C, number[]>
  for (let round = 0; round < rounds; round++) {
    for (const name of Object.keys(contest)) figures[name]!.push(await contest[name]!())
  }
  return figures
}

/** The middle one of the sorted values. */
function median (values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? NaN
}

/** A yardstick whose slowest round is below this share of its fastest one says nothing. */
const STEADY = 0.5

/**
 * Makes a row that compares requests per second with a yardstick, round by round. The ratio is measured ÷ yardstick for a
 * target of at least some share, or yardstick ÷ measured for a target of at most some cost. Without a yardstick there is no
 * ratio, and the target does not count as reached. Neither does it where the yardstick was not steady.
 */
export function rowOf (what: string, measured: number[], yardstick: number[], target: { share: number } | { cost: number }): Row {
  const hasFallen = yardstick.length > 0 && Math.min(...yardstick) < STEADY * Math.max(...yardstick)
  const ratios = yardstick.map((figure, round) => 'share' in target ? measured[round]! / figure : figure / measured[round]!)
  const ratio = median(ratios)
  return {
    what,
    measured: median(measured),
    unit: 'requests/s',
    yardstick: yardstick.length > 0 ? median(yardstick) : undefined,
    ratio,
    spread: [ratios.length > 0 ? Math.min(...ratios) : NaN, ratios.length > 0 ? Math.max(...ratios) : NaN],
    target: 'share' in target ? `≥ ${target.share}` : `≤ ${target.cost}`,
    isReached: !hasFallen && ('share' in target ? ratio >= target.share : ratio <= target.cost),
    hasFallen
  }
}
