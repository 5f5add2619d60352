import type { Row } from './row.ts'

/** What is asked of each: the figure that it measures in one round. */
export type Contest = Record<string, () => Promise<number>>

/** Lets each measure in turn, so that what else happens on the machine happens to all; gives each one's figures, a round each. */
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

/**
 * A row of requests a second against a yardstick in the same, round by round. As a share it is to be large; as a cost,
 * which is the other way round, small. Without figures of the yardstick there is no ratio, and nothing is reached.
 */
export function rowOf (what: string, measured: number[], yardstick: number[], target: { share: number } | { cost: number }): Row {
  const ratios = yardstick.map((figure, round) => 'share' in target ? measured[round]! / figure : figure / measured[round]!)
  const ratio = median(ratios)
  return {
    what,
    measured: median(measured),
    unit: 'requests/s',
    yardstick: yardstick.length > 0 ? median(yardstick) : undefined,
    ratio,
    spread: [ratios.length > 0 ? Math.min(...ratios) : NaN, ratios.length > 0 ? Math.max(...ratios) : NaN],
    target: 'share' in target ? `≥ ${target.share.toFixed(1)}` : `≤ ${target.cost.toFixed(1)}`,
    isReached: 'share' in target ? ratio >= target.share : ratio <= target.cost
  }
}
