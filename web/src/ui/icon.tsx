const PATHS = {
  close: 'M6 6l12 12M18 6L6 18',
  back: 'M14.5 5.5L8 12l6.5 6.5',
  down: 'M12 5v14M6 13l6 6 6-6',
  plus: 'M12 5v14M5 12h14',
  send: 'M12 19V5M6 11l6-6 6 6',
  stop: 'M8 8h8v8H8z',
  people: 'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20c0-3.6 2.9-6 6.5-6s6.5 2.4 6.5 6M15.5 4.3a3.5 3.5 0 0 1 0 6.4M18 14.6c2.1.9 3.5 2.8 3.5 5.4',
  person: 'M12 11.5a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5c0-4 3.4-6.5 7.5-6.5s7.5 2.5 7.5 6.5',
  edit: 'M4 20l1-4L16 5l3 3L8 19l-4 1z',
  again: 'M19 12a7 7 0 1 1-2.1-5M19 3v4.5h-4.5',
  done: 'M5 12.5l4.5 4.5L19 7.5',
  delete: 'M5 7h14M10 4h4M7 7l1 13h8l1-13M10.5 11v5.5M13.5 11v5.5',
  copy: 'M9 9h10v11H9zM5 15V4h10'
}

/** An icon, hidden from screen readers: the button around it has a label. */
export function Icon ({ name }: { name: keyof typeof PATHS }) {
  return <svg className='icon' viewBox='0 0 24 24' aria-hidden='true'><path d={PATHS[name]} /></svg>
}
