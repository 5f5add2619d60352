import t from 'tap'
import { withNews } from '../../client/with-news.ts'

const at = (id: number, minute: number, name = `Number ${id}`) =>
  ({ id, name, is_finished: false, last_updated: `2026-11-21T10:${String(minute).padStart(2, '0')}:00.000Z`, unread: 0, messages: [] })
const ids = (list: Array<{ id: number }>) => list.map(({ id }) => id)

t.test('the list of conversations with the news in it', async t => {
  const list = [at(3, 30), at(2, 20), at(1, 10)]
  t.same(withNews(list, {}, true), list)
  const moved = withNews(list, { 1: at(1, 40, 'Renamed') }, true)
  t.same(ids(moved), [1, 3, 2], 'last used first')
  t.equal(moved[0]!.name, 'Renamed', 'the news are newer than the list')
  t.same(ids(withNews(list, { 2: null, 9: null }, true)), [3, 1], 'what is gone is left out')
  t.same(ids(withNews(list, { 4: at(4, 30), 5: at(5, 5) }, true)), [4, 3, 2, 1, 5], 'what is new is added; of the same time, the later one is first')
  t.same(ids(withNews(list, { 4: at(4, 30), 5: at(5, 5) }, false)), [4, 3, 2, 1], 'what belongs to a page that is not loaded comes with that page')
  t.same(ids(withNews([], { 4: at(4, 30) }, true)), [4])
})
