"""Text normalisation: written forms of each class, with the expected spoken form."""

from __future__ import annotations

import pytest

from tts_meta.text.normalize import normalize

CHARACTERS = [
    ("We met Zoe\u0308 at the cafe\u0301.", "We met Zoë at the café."),
    ("For exam\u00adple, they co\u00adoperate.", "For example, they cooperate."),
    ("zero\u200bwidth jo\u200din\ufeffed \u202aleft\u202c", "zerowidth joined left"),
    ("I don′t, you don`t, we don´t, they donʼt, he don＇t.", "I don't, you don't, we don't, they don't, he don't."),
    ("‘Yes,’ she said, “it’s mine.”", "'Yes,' she said, “it's mine.”"),
    ("«Yes» and „no‟.", '"Yes" and "no".'),
    ("I said--and I mean it--that.", "I said—and I mean it—that."),
    ("He waited --- and left -- at last - for good.", "He waited — and left — at last — for good."),
    ("well‐known and twenty‑one", "well-known and twenty-one"),
    ("ﬁrst ﬂoor, Ｆｕｌｌ width, 𝐛𝐨𝐥𝐝", "first floor, Full width, bold"),
    ("a\u00a0b\u2009c\u3000d\te", "a b c d e"),
    ("one\r\ntwo\rthree\u2028four\x0bfive", "one two three four five"),
    ("Wait....... what?!?! No!!!", "Wait… what?!?! No!"),
    ("Well . . . yes", "Well… yes"),
    ("``Hello,'' he said.", '"Hello," he said.'),
    ("٣ cats and ४ dogs", "three cats and four dogs"),
    ("exam-\nple", "exam-ple"),
    ("It works\x07\x1b well", "It works well"),
]
MARKUP = [
    ("# Heading\n\nTom &amp; Jerry are ~~gone~~ here.", "Heading. Tom and Jerry are gone here."),
    ("Fish &#38; chips &lt; 5 &pound;", "Fish and chips less than five pounds"),
    ("It&rsquo;s &quot;fine&quot;&nbsp;now&hellip;", 'It\'s "fine" now…'),
    ("R&amp;#39;s", "R's"),
    ("AT&T, Q&A and R&D", "A.T. and T, Q and A. and R and D"),
    ("<p>One</p><p>Two</p>", "One Two"),
    ('A <a href="http://x.com/a?b=c">link</a> and <b>bold</b><br/>text', "A link and bold text"),
    ("<!-- hidden --><style>p {color: red}</style><script>alert(1 < 2)</script>Shown", "Shown"),
    ("<speak>Hello <emphasis level='strong'>big</emphasis> world.</speak>", "Hello big world."),
    ('<?xml version="1.0"?><speak version="1.1"><p><s>One.</s><s>Two.</s></p></speak>', "One. Two."),
    ('<sub alias="World Wide Web Consortium">W3C</sub> rules', "World Wide Web Consortium rules"),
    ('<say-as interpret-as="characters">abc1</say-as>', "A. B. C. one"),
    ('<say-as interpret-as="digits">2024</say-as>', "two zero two four"),
    (
        '<say-as interpret-as="cardinal">2024</say-as> <say-as interpret-as="ordinal">3</say-as>',
        "two thousand twenty four third",
    ),
    ('<mstts:express-as style="sad"><prosody rate="+10%">Oh</prosody></mstts:express-as> no.', "Oh no."),
    ("if a < b and c > d, then 3 < 5", "if a less than b and c greater than d, then three less than five"),
    ("I <3 you", "I less than three you"),
    ("**Bold**, *italic*, __bold__, _italic_, ***both*** and `code`.", "Bold, italic, bold, italic, both and code."),
    ("snake_case and 2*3*4 and a * b", "snake case and two times three times four and a times b"),
    ("See [the page](https://example.com/a_(b)) and ![a cat](cat.png).", "See the page and a cat."),
    ("A [link][1].\n\n[1]: http://example.com", "A link."),
    ("Text[^1] more.", "Text more."),
    ("- one\n- two\n* three\n+ [x] four", "one two three four"),
    ("1. First\n2. Second", "one, First two, Second"),
    ("| Name | Age |\n|---|:-:|\n| Ann | 5 |", "Name, Age. Ann, five."),
    ("Name | Age\n--- | ---\nAnn | 5", "Name, Age. Ann, five."),
    ("Title\n=====\n\nText\n\n---\n\nMore", "Title Text More"),
    ("> quoted\n> text", "quoted text"),
    ("```python\nprint\n```", "print"),
    (r"5\* and \_x\_", "five and x"),
    ("<https://example.org>", "example dot org"),
]
SENTENCES = [
    ("Mr. J. R. R. Tolkien met Mrs. Smith.", "Mister J. R. R. Tolkien met Mrs Smith."),
    ("Dr. Jones of St. James St. is here.", "Doctor Jones of Saint James Street is here."),
    ("E.g. this, i.e. that, etc. and more.", "E.g. this, i.e. that, et cetera and more."),
    ("We buy pens, paper, etc.", "We buy pens, paper, et cetera."),
    ("He said no.", "He said no."),
    ("He said no. 5 people came.", "He said no. five people came."),
    ("No. 5 lives in no. 12.", "Number five lives in number twelve."),
    ("Nos. 3 and 4", "Numbers three and four"),
    (
        "See p. 5, pp. 6-7, vol. 2, fig. 3 and ch. IV.",
        "See page five, pages six to seven, volume two, figure three and chapter four.",
    ),
    ("Acme Inc. and Sons Co. of N.Y.", "Acme Incorporated and Sons Company of N.Y."),
    ("Smith vs. Jones w/ help", "Smith versus Jones with help"),
    ("John Smith Jr. and Sr. Maria", "John Smith Junior and Sister Maria"),
    ("He sat. The sun. She wed. It was fun.", "He sat. The sun. She wed. It was fun."),
    ("On Mon., Jan. 5", "On Monday, January fifth"),
    ("born c. 1850", "born circa eighteen fifty"),
]
NUMBERS = [
    ("0 7 13 21 100 101", "zero seven thirteen twenty one one hundred one hundred one"),
    ("1,234,567", "one million two hundred thirty four thousand five hundred sixty seven"),
    ("He paid 10 000 euros and 1 000 000 yen.", "He paid ten thousand euros and one million yen."),
    (
        "10,000 and 1.000.000 and 1'000 and 12.345",
        "ten thousand and one million and one thousand and twelve point three four five",
    ),
    ("3.14, 0.5, .5, 2.0 and -4", "three point one four, zero point five, point five, two point zero and minus four"),
    ("1000000000000000000000000000000000000", "one undecillion"),
    (
        "12345678901234567890",
        "one two three four five six seven eight nine zero one two three four five six seven eight nine zero",
    ),
    ("agent 007", "agent zero zero seven"),
    (
        "in 1066, 1905, 2005, 1900 and 2024",
        "in one thousand sixty six, nineteen oh five, two thousand five, nineteen hundred and twenty twenty four",
    ),
    (
        "the 1990s, the '80s, the 1900s, summer of '69",
        "the nineteen nineties, the eighties, the nineteen hundreds, summer of sixty nine",
    ),
    (
        "1999 people and 5280 feet",
        "one thousand nine hundred ninety nine people and five thousand two hundred eighty feet",
    ),
    ("the 1st, 2nd, 3rd, 21st and 112th", "the first, second, third, twenty first and one hundred twelfth"),
    ("1/2, 3/4, 2/3, 1/100 and 22/7", "one half, three quarters, two thirds, one hundredth and twenty two over seven"),
    (
        "It took 1 1/2 hours, 2 3/4 cups, 1½ days and 3-1/3.",
        "It took one and a half hours, two and three quarters cups, one and a half days and three and one third.",
    ),
    ("½ cup and ⅔ cup", "one half cup and two thirds cup"),
    ("version 2.0.1, v3.11 and v2", "version two point zero point one, version three point one one and version two"),
    (
        "at 192.168.0.1 or 10.0.0.1:8080.",
        "at one nine two dot one six eight dot zero dot one or one zero dot zero dot zero dot one colon eight"
        " zero eight zero.",
    ),
    (
        "pages 5-10, 1914-18, 1939–1945",
        "pages five to ten, nineteen fourteen to eighteen, nineteen thirty nine to nineteen forty five",
    ),
    ("#1 and # 5 and №3", "number one and number five and number three"),
    (
        "Call 555-1234, (212) 555-0199 or +44 20 7946 0958.",
        "Call five five five, one two three four, two one two, five five five, zero one nine nine or "
        "plus four four, two zero, seven nine four six, zero nine five eight.",
    ),
    ("123-45-6789", "one two three, four five, six seven eight nine"),
    ("24/7 on 9/11", "twenty four seven on nine eleven"),
    ("COVID-19, MP3, 3D, 4K, A4, B2B", "COVID nineteen, MP three, three D, four K, A. four, B two B"),
    ("10 - 3 = 7, 5+3, 2 + 2 = 4", "ten minus three equals seven, five plus three, two plus two equals four"),
    ("18+ and 3x and 5x3 and 5 x 3", "eighteen plus and three times and five by three and five by three"),
    ("He won 3-2, ratio 16:9", "He won three to two, ratio sixteen to nine"),
    ("twenty 20s", "twenty twenties"),
    ("I have 2 cats & 3 dogs", "I have two cats and three dogs"),
    ("x² + y³ = 10⁵", "x squared plus y cubed equals ten to the power of five"),
    ("¹Ł", "one Ł"),
    ("Call 911.", "Call nine one one."),
]
QUANTITIES = [
    ("He is 6'2\" tall.", "He is six foot two tall."),
    ("6′2″, 5' 11\", 6' wide and 2\" thick", "six foot two, five foot eleven, six feet wide and two inches thick"),
    ("5 ft 11 in tall", "five foot eleven tall"),
    ('He said "I am 6" and left.', 'He said "I am six" and left.'),
    ('a 27" screen', "a twenty seven inch screen"),
    ("It costs €15.50, ¥300 and $4.", "It costs fifteen euros and fifty cents, three hundred yen and four dollars."),
    (
        "15 €, 5$, 10 USD, 20 GBP, £1.50",
        "fifteen euros, five dollars, ten US dollars, twenty pounds, one pound and fifty pence",
    ),
    (
        "$1, $0.50, $0.01, $1.00, $1.5, 5¢",
        "one dollar, fifty cents, one cent, one dollar, one point five dollars, five cents",
    ),
    (
        "$5 million, $3.2B, €2bn, $5k",
        "five million dollars, three point two billion dollars, two billion euros, five thousand dollars",
    ),
    ("$1,234.56", "one thousand two hundred thirty four dollars and fifty six cents"),
    ("€15,50 and -$5 and $5-10", "fifteen euros and fifty cents and minus five dollars and five to ten dollars"),
    ("$5/month, US$20, Rs. 500", "five dollars per month, twenty US dollars, five hundred rupees"),
    (
        "5 km, 1 km, 3.5 kg, 10 m, 5 km/h, 60 mph",
        "five kilometers, one kilometer, three point five kilograms, ten meters, five kilometers per hour, "
        "sixty miles per hour",
    ),
    (
        "20 m², 5 km², 3 cm³, 9.8 m/s²",
        "twenty square meters, five square kilometers, three cubic centimeters, nine point eight meters per "
        "second squared",
    ),
    (
        "5 μm, 3 µg, 10 kΩ, 2 GHz, 16 GB",
        "five micrometers, three micrograms, ten kiloohms, two gigahertz, sixteen gigabytes",
    ),
    ("a 5-km run, 10lbs, 12 oz.", "a five kilometer run, ten pounds, twelve ounces."),
    ("50%, 50 %, 5-10%, 3.5%", "fifty percent, fifty percent, five to ten percent, three point five percent"),
    (
        "20°C, -5 °F, 90°, 37.5 ℃",
        "twenty degrees Celsius, minus five degrees Fahrenheit, ninety degrees, thirty seven point five "
        "degrees Celsius",
    ),
    ("40°26′46″ N", "forty degrees twenty six minutes forty six seconds N"),
    ("5 in the morning, 5in wide", "five in the morning, five inches wide"),
    ("1 1/2 km", "one and a half kilometers"),
]
TIMES = [
    (
        "at 5:30 pm, 5:00, 5:05 a.m., 17:45, 5pm and 10 a.m. sharp",
        "at five thirty p.m., five o'clock, five oh five a.m., seventeen forty five, five p.m. and ten a.m. sharp",
    ),
    (
        "3/4/1999, 1999-03-04, 31.12.1999",
        "March fourth, nineteen ninety nine, March fourth, nineteen ninety nine, December thirty first, "
        "nineteen ninety nine",
    ),
    (
        "January 5, 2020; Jan. 5; 5 January 2020; May 3rd",
        "January fifth, twenty twenty; January fifth; the fifth of January twenty twenty; May third",
    ),
    ("the 4th of July", "the fourth of July"),
    ("In May 2020 I may", "In May twenty twenty I may"),
]
OTHER = [
    ("No. I won't. See Fig. A.", "No. I won't. See Figure A."),
    ("Smith et al. (2010) wrote.", "Smith et al (twenty ten) wrote."),
    ("1.000,50 € or 100 000,50", "one thousand euros and fifty cents or one hundred thousand point five zero"),
    ("$3bn-$4bn", "three billion dollars to four billion dollars"),
    ("6m people, 5 h", "six million people, five hours"),
    ("5e-3", "five times ten to the power of minus three"),
    ("V8, –5, pre–war, in μm", "V eight, minus five, pre-war, in micrometers"),
    ("Mon 5 May, WWII", "Monday the fifth of May, World War Two"),
    ("₹1,00,000 or £3.5bn", "one hundred thousand rupees or three point five billion pounds"),
    ("221B Baker St. in 44 B.C.", "two hundred twenty one B Baker Street in forty four B.C."),
    ('8.5" x 11", a 3" nail', "eight point five inches by eleven inches, a three inch nail"),
    ("$5-$10 for the $64,000 question", "five to ten dollars for the sixty four thousand dollar question"),
    ("6.02×10²³", "six point zero two times ten to the power of twenty three"),
    ("10am-5pm, 3-4 p.m., 12:30-1:30", "ten a.m. to five p.m., three to four p.m., twelve thirty to one thirty"),
    ("Mon-Fri, Jan.–Mar.", "Monday to Friday, January to March"),
    ("2024/01/15", "January fifteenth, twenty twenty four"),
    ("MP3s, 747s and 3's", "MP threes, seven hundred forty sevens and threes"),
    ("Is it >100? Fine :) now", "Is it greater than one hundred? Fine now"),
    ("Don''t or don\"t", "Don't or don't"),
    ("1,5 million and 2,5 %", "one point five million and two point five percent"),
    ("2/3rds and 10/10", "two thirds and ten out of ten"),
    ("by 2100", "by twenty one hundred"),
]
NAMES = [
    ("Visit https://www.example.com/page or www.example.org now.", "Visit WWW dot example dot com slash page "
     "or WWW dot example dot org now."),
    ("Mail john.smith@example.co.uk!", "Mail john dot smith at example dot CO dot UK!"),
    ("github.com/a-b?c=1#d.", "github dot com slash A. dash B. question mark C. equals one hash D."),
    ("#ThrowbackThursday by @big_cat", "hashtag Throwback Thursday by at big cat"),
    ("Open report.pdf and Node.js.", "Open report dot PDF and Node dot JS."),
    ("Chapter IV, Henry VIII, World War II, Part I", "Chapter four, Henry the eighth, World War two, Part one"),
    ("King Charles I was; but Charles I think", "King Charles I was; but Charles I think"),
    ("Louis XIV's wig and the XIV", "Louis the fourteenth's wig and the XIV"),
    ("Chapter IIII and Louis VX", "Chapter IIII and Louis VX"),
    ("C#, C++ and/or R&D", "C sharp, C plus plus and or R and D"),
    ("The α and β particles, Δx, πr²", "The alpha and beta particles, delta x, pi r squared"),
    ("A → B ≤ C ≠ D ± 5 × 3 = 15", "A to B less than or equal to C is not equal to D "
     "plus or minus five times three equals fifteen"),
    ("Great 😀 job 👍🏽!", "Great job!"),
    ("Acme™ and Foo® © 2020", "Acme and Foo copyright twenty twenty"),
    ("~5 km ≈ 3 mi", "about five kilometers approximately three miles"),
    ("100% sure [sic] {yes}", "one hundred percent sure (sic) (yes)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "spoken"), [*CHARACTERS, *MARKUP, *SENTENCES, *NUMBERS, *QUANTITIES, *TIMES, *OTHER, *NAMES]
)
def test_a_written_form_has_the_expected_spoken_form(written: str, spoken: str) -> None:
    assert normalize(written) == spoken
