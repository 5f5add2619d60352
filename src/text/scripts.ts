// Which scripts a text is written in, by Unicode's Script_Extensions property.

/**
 * The scripts of Unicode 15, which every supported version of Node.js knows: a regular expression with an unknown one
 * would throw. Letters of newer scripts count as belonging to any script.
 */
const SCRIPTS = (
  'Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo ' +
  'Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Coptic ' +
  'Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan ' +
  'Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi Han Hangul Hanifi_Rohingya ' +
  'Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada ' +
  'Katakana Kawi Kayah_Li Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B ' +
  'Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek ' +
  'Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean Nag_Mundari ' +
  'Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Old_Hungarian Old_Italic Old_North_Arabian ' +
  'Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage Osmanya Pahawh_Hmong Palmyrene ' +
  'Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham SignWriting ' +
  'Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri ' +
  'Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Toto Ugaritic Vai Vithkuqi Wancho Warang_Citi Yezidi ' +
  'Yi Zanabazar_Square'
).split(' ')

/**
 * Writing systems of several scripts, by the script that each is added for: Japanese, Korean, and Chinese with Bopomofo.
 * @see https://www.unicode.org/reports/tr39/#Mixed_Script_Detection
 */
const TOGETHER: Record<string, string[]> = {
  Han: ['Japanese', 'Korean', 'Chinese'], Hiragana: ['Japanese'], Katakana: ['Japanese'], Hangul: ['Korean'], Bopomofo: ['Chinese']
}

const ASCII = /^[ -~]*$/

/** Punctuation, digits, symbols and marks that all scripts share. */
const SHARED = /[\p{scx=Common}\p{scx=Inherited}]/gu

let patterns: Array<[script: string, pattern: RegExp]> | undefined

/** The scripts that a character belongs to; several for one that a few scripts share. */
function scriptsOf (character: string): string[] {
  patterns ??= SCRIPTS.map(script => [script, new RegExp(`\\p{scx=${script}}`, 'u')])
  return patterns.flatMap(([script, pattern]) => pattern.test(character) ? [script, ...TOGETHER[script] ?? []] : [])
}

/**
 * Two scripts that a text mixes, for a person to read; undefined when all of it can be of one script or writing system.
 * That is the single-script rule of UTS 39.
 * @see https://www.unicode.org/reports/tr39/#Single_Script
 */
export function mixedScripts (text: string): [string, string] | undefined {
  if (ASCII.test(text)) return undefined
  let left: string[] | undefined
  for (const character of new Set(text.replace(SHARED, ''))) {
    const scripts = scriptsOf(character)
    if (scripts.length === 0) continue
    const both = left?.filter(script => scripts.includes(script)) ?? scripts
    if (both.length === 0) return [titleOf(left![0]!), titleOf(scripts[0]!)]
    left = both
  }
  return undefined
}

const titleOf = (script: string) => script.replaceAll('_', ' ')
