/** One line of the table that `make bench` prints. */
export interface Row {
  /** What was measured, as in docs/performance.md. */
  what: string
  /** The median of all rounds. */
  measured: number
  /** Of `measured` and `yardstick`: requests/s, ms, kB, s, … */
  unit: string
  /** The median of what it is held against in the same run, where there is one. */
  yardstick?: number
  /** What the target speaks of: measured against the yardstick, or what is measured itself. */
  ratio: number
  /** The smallest and the largest ratio of all rounds. */
  spread: [min: number, max: number]
  /** Such as '≥ 1.0'. */
  target: string
  isReached: boolean
}

/** A file of `bench/` measures some rows. Quick: in a few seconds, to show that it works. */
export type Measure = (how: { isQuick: boolean }) => Promise<Row[]>
