//! The tables of offices as lists: what stands above their columns, and how people write a fact.
//!
//! A table says what a list says, in the words of whoever keeps it. What cannot be one thing alone is refused: a time
//! without a zone where none was named, a date whose month comes first, a word that stands for nothing.

use super::schema::{LEAST_MS, meant};
use jiff::civil::Date;
use jiff::tz::Offset;
use kakou_core::entry::{Fact, Is, facts};
use kakou_core::schedule;
use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization;

/// What people write above the column of ids, beside `id`.
const IDS: &[&str] = &[
    "编号",
    "证号",
    "证件号",
    "证件号码",
    "身份证",
    "身份证号",
    "身份证号码",
    "学号",
    "工号",
    "卡号",
    "腕带号",
    "住院号",
    "人员编号",
    "居民编号",
    "通行证号",
    "通行证编号",
    "票号",
];
/// Lists of vehicles have plates as ids where they have no other.
const PLATES: &[&str] = &["plate", "车牌", "车牌号", "车牌号码", "号牌"];

/// What people write above the column of a fact, beside its name.
const TITLES: &[(&str, &[&str])] = &[
    ("name", &["姓名", "名字"]),
    ("group", &["班级", "单位", "部门", "小区", "class"]),
    ("colour", &["颜色", "健康码", "健康码颜色", "码色", "color"]),
    ("test_result", &["检测结果", "核酸结果", "核酸检测结果"]),
    ("sampled_at_ms", &["采样时间", "采样日期", "核酸采样时间"]),
    ("reported_at_ms", &["报告时间", "报告日期", "出报告时间"]),
    ("risk_area", &["风险区", "风险地区", "到过风险地区"]),
    ("out_of_city", &["市外", "外地", "市外来人员"]),
    ("nbf_ms", &["生效时间", "生效日期", "开始时间", "开始日期", "有效期起", "valid from"]),
    (
        "exp_ms",
        &[
            "失效时间",
            "失效日期",
            "到期时间",
            "到期日期",
            "截止时间",
            "截止日期",
            "有效期至",
            "有效期止",
            "valid until",
        ],
    ),
    ("until_ms", &["截止时间", "截止日期", "到期时间", "到期日期"]),
    ("from_ms", &["可离开时间", "解除时间", "解除日期"]),
    ("plate", PLATES),
    ("category", &["类别", "车辆类别", "通行类别"]),
    ("from", &["起点", "出发地", "始发地"]),
    ("to", &["终点", "目的地", "接收社区"]),
    ("patient", &["患者", "患者编号"]),
    ("ward", &["病区"]),
    ("role", &["角色", "人员类别"]),
    ("company", &["公司", "单位"]),
    ("crew", &["人数", "车上人数"]),
    ("uses", &["次数", "使用次数"]),
    ("approvals", &["审批", "审批部门", "批准部门"]),
    ("room", &["房间", "房号"]),
    ("shift", &["班次"]),
    ("beds", &["床位数"]),
    ("by", &["经办人", "签发人"]),
];

/// What people write for a word.
const WORDS: &[(&str, &[&str])] = &[
    ("green", &["绿", "绿色", "绿码"]),
    ("yellow", &["黄", "黄色", "黄码"]),
    ("red", &["红", "红色", "红码"]),
    ("negative", &["阴", "阴性"]),
    ("positive", &["阳", "阳性"]),
    ("pending", &["待出", "未出", "待出结果", "未出结果"]),
    ("emergency-supplies", &["紧急物资", "紧急物资车辆"]),
    ("emergency-bulk", &["紧急物资散货", "紧急物资散货车辆"]),
    ("resident-car", &["居民车辆", "居民小汽车"]),
    ("transit", &["过境", "过境车辆"]),
    ("staff", &["职工", "工作人员"]),
    ("inpatient", &["住院", "住院患者"]),
    ("companion", &["陪护", "陪护人员"]),
    ("worker", &["工人"]),
    ("resident", &["居民", "住户"]),
];

const YES: &[&str] = &["true", "yes", "y", "1", "是", "有", "√", "真"];
const NO: &[&str] = &["false", "no", "n", "0", "否", "无", "×", "x", "假"];
const ONCE: &[&str] = &["1", "once", "单次", "一次", "1次"];
const ANY: &[&str] = &["0", "any", "多次", "不限", "不限次数"];
/// An end that never comes: the fact is left out.
const NEVER: &[&str] = &["长期", "永久", "无期限"];
/// Cells that say that there is nothing, where a text would not be one.
const NOTHING: &[&str] = &["-", "--", "—", "——", "/", "null", "n/a"];
const BETWEEN_HOURS: [char; 4] = ['、', ';', '；', '|'];
const BETWEEN_TEXTS: [char; 7] = ['、', ',', '，', ';', '；', '|', '/'];

/// The form in which two of these are compared: of one width and case, without blanks, hyphens and what stands in
/// brackets.
fn plain(text: &str) -> String {
    let folded: String = text.nfkc().flat_map(char::to_lowercase).collect();
    let open = folded.split('(').next().unwrap_or_default();
    open.chars().filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-')).collect()
}

fn is_one(of: &[&str], text: &str) -> bool {
    of.iter().any(|one| plain(one) == text)
}

/// A cell that is one of these, in other letters perhaps.
fn says(of: &[&str], cell: &str) -> bool {
    let cell: String = cell.nfkc().flat_map(char::to_lowercase).collect();
    of.iter().any(|one| one.nfkc().eq(cell.chars()))
}

/// A name without its unit.
fn short(name: &str) -> String {
    plain(name.strip_suffix("_ms").unwrap_or(name))
}

/// Whether a title stands for a fact, or another name, in words that people use for it.
pub fn stands_for(title: &str, name: &str) -> bool {
    let title = plain(title);
    let words = TITLES.iter().find(|(of, _)| *of == name).map_or(&[][..], |(_, words)| *words);
    title == plain(name)
        || title == short(name)
        || is_one(words, &title)
        || (name == "id" && is_one(IDS, &title))
}

/// What a column of a table is, for a list: `id`, or one of its facts. With `id` another column is the id.
pub fn of_list(list: &str, id: Option<&str>, title: &str) -> Option<String> {
    let own = |fact: &&Fact| stands_for(title, fact.name);
    match id {
        Some(id) if plain(id) == plain(title) => return Some("id".into()),
        None if stands_for(title, "id") => return Some("id".into()),
        // The list of those who are held has no plate beside the id.
        None if list == "hold" && stands_for(title, "plate") => return Some("id".into()),
        Some(_) | None => {}
    }
    facts(list).find(own).map(|fact| fact.name.to_owned())
}

/// Says of a title that is nothing what it may be meant to be.
pub fn near(list: &str, title: &str) -> Result<(), String> {
    meant(list, title)
}

/// A cell as a fact; none where the cell says that there is nothing.
pub fn value(fact: &Fact, cell: &str, zone: Option<Offset>) -> Result<Option<Value>, String> {
    let wrong = |allowed: String| Err(format!("`{cell}` is not {allowed}"));
    let text = matches!(fact.is, Is::Text | Is::Texts);
    if cell.is_empty() || (!text && says(NOTHING, cell)) {
        return Ok(None);
    }
    let read = match fact.is {
        Is::Text => json!(cell),
        Is::Texts => {
            let texts = cell.split(BETWEEN_TEXTS).map(str::trim).filter(|t| !t.is_empty());
            json!(texts.collect::<Vec<_>>())
        }
        Is::Flag if says(YES, cell) => json!(true),
        Is::Flag if says(NO, cell) => json!(false),
        Is::Flag => return wrong("yes or no (是, 否)".into()),
        Is::Uses if says(ONCE, cell) => json!(1),
        Is::Uses if says(ANY, cell) => json!(0),
        Is::Uses => return wrong("once (1, 单次) or any number of times (0, 多次)".into()),
        Is::Number => match cell.nfkc().collect::<String>().parse::<u64>() {
            Ok(number) => json!(number),
            Err(_) => return wrong("a whole number from 0".into()),
        },
        Is::Level(most) => match cell.nfkc().collect::<String>().parse::<i64>() {
            Ok(number) if (0..=most).contains(&number) => json!(number),
            Ok(_) | Err(_) => return wrong(format!("a whole number from 0 to {most}")),
        },
        Is::Days => {
            let days: Vec<&str> =
                cell.split(BETWEEN_TEXTS).map(str::trim).filter(|t| !t.is_empty()).collect();
            if !days.iter().all(|day| schedule::is_day(day)) {
                return wrong("days, as in 2022-05-24".into());
            }
            json!(days)
        }
        Is::Hours => {
            // Commas stand within the days of the week.
            let hours: Vec<&str> =
                cell.split(BETWEEN_HOURS).map(str::trim).filter(|t| !t.is_empty()).collect();
            if !hours.iter().all(|text| schedule::Open::read(text).is_some()) {
                return wrong("opening hours, as in `1-5 08:00-17:30`, with ； between several".into());
            }
            json!(hours)
        }
        Is::End if says(NEVER, cell) => return Ok(None),
        Is::Moment | Is::End => json!(moment(cell, zone, fact.is == Is::End)?),
        Is::Word(words) => {
            let known = |word: &&&str| {
                let others = WORDS.iter().find(|(of, _)| of == *word).map_or(&[][..], |(_, others)| *others);
                says(&[**word], cell) || says(others, cell)
            };
            match words.iter().find(known) {
                Some(word) => json!(word),
                None => {
                    let said = |word: &&str| {
                        let other = WORDS.iter().find(|(of, _)| of == word).and_then(|(_, all)| all.last());
                        other.map_or((*word).to_owned(), |other| format!("{word} ({other})"))
                    };
                    return wrong(format!(
                        "one of {}",
                        words.iter().map(said).collect::<Vec<_>>().join(", ")
                    ));
                }
            }
        }
    };
    Ok(Some(read))
}

/// A time as people write it, UTC milliseconds. An end without a time of day is the end of that day.
fn moment(cell: &str, zone: Option<Offset>, is_end: bool) -> Result<i64, String> {
    let how = "write the date as 2022-05-24, with a time as 2022-05-24 07:30";
    let text: String = cell.nfkc().flat_map(char::to_uppercase).collect();
    let wrong = || format!("`{cell}` is no time that can be understood: {how}");
    if text.bytes().all(|b| b.is_ascii_digit()) && text.len() == 13 {
        let ms: i64 = text.parse().map_err(|_| wrong())?;
        return if ms >= LEAST_MS { Ok(ms) } else { Err(wrong()) };
    }
    if let Ok(told) = text.parse::<jiff::Timestamp>() {
        return Ok(told.as_millisecond());
    }
    let (text, afternoon) = without_half(&text);
    let mut numbers: Vec<i16> = Vec::new();
    let mut digits = String::new();
    for c in text.chars().chain([' ']) {
        match c {
            '0'..='9' => digits.push(c),
            '-' | '/' | '.' | ':' | '年' | '月' | '日' | '号' | '时' | '点' | '分' | '秒' | 'T' | ' ' =>
            {
                // 20220524: the year, the month, the day.
                if numbers.is_empty() && digits.len() == 8 {
                    let (year, rest) = digits.split_at(4);
                    let (month, day) = rest.split_at(2);
                    for part in [year, month, day] {
                        numbers.push(part.parse().map_err(|_| wrong())?);
                    }
                } else if !digits.is_empty() {
                    if numbers.is_empty() && digits.len() != 4 {
                        return Err(format!("`{cell}` does not begin with a year of four digits: {how}"));
                    }
                    numbers.push(digits.parse().map_err(|_| wrong())?);
                }
                digits.clear();
            }
            _ => return Err(wrong()),
        }
    }
    let (date, time) = numbers.split_at_checked(3).ok_or_else(wrong)?;
    let [year, month, day] = date else { return Err(wrong()) };
    let small = |n: i16| i8::try_from(n).map_err(|_| wrong());
    let date = Date::new(*year, small(*month)?, small(*day)?).map_err(|_| wrong())?;
    let hour = |hour: i16| match afternoon {
        None => Ok(hour),
        Some(_) if !(1..=12).contains(&hour) => Err(wrong()),
        Some(afternoon) => Ok(hour % 12 + if afternoon { 12 } else { 0 }),
    };
    let (date, h, m, s) = match *time {
        [] if afternoon.is_some() => return Err(wrong()),
        [] if is_end => (date.tomorrow().map_err(|_| wrong())?, 0, 0, 0),
        [] => (date, 0, 0, 0),
        [h] => (date, hour(h)?, 0, 0),
        [h, m] => (date, hour(h)?, m, 0),
        // Some write thousandths of seconds.
        [h, m, s] | [h, m, s, _] => (date, hour(h)?, m, s),
        _ => return Err(wrong()),
    };
    let told = jiff::civil::Time::new(small(h)?, small(m)?, small(s)?, 0).map_err(|_| wrong())?;
    let zone = zone.ok_or_else(|| {
        format!("`{cell}` has no time zone: say in which one this table is written, e.g. --zone +08:00")
    })?;
    let ms = zone.to_timestamp(date.to_datetime(told)).map_err(|_| wrong())?.as_millisecond();
    if ms >= LEAST_MS { Ok(ms) } else { Err(wrong()) }
}

/// A time without the word for its half of the day, and whether that is the second one.
fn without_half(text: &str) -> (String, Option<bool>) {
    for (word, afternoon) in [("上午", false), ("下午", true), ("晚上", true), ("AM", false), ("PM", true)]
    {
        if let Some((before, after)) = text.split_once(word) {
            return (format!("{before} {after}"), Some(afternoon));
        }
    }
    (text.to_owned(), None)
}

/// A zone as people write it: `+08:00`, `-3:30`, `Z`.
pub fn zone(text: &str) -> Result<Offset, String> {
    let wrong = || format!("`{text}` is no zone: write it as +08:00");
    if text == "Z" {
        return Ok(Offset::UTC);
    }
    let (sign, rest) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(rest), _) => (1, rest),
        (None, Some(rest)) => (-1, rest),
        (None, None) => return Err(wrong()),
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
    let number =
        |text: &str, most: i32| text.parse().ok().filter(|n| (0..=most).contains(n)).ok_or_else(wrong);
    let seconds = number(hours, 14)? * 3_600 + number(minutes, 59)? * 60;
    Offset::from_seconds(sign * seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(list: &'static str, name: &str) -> &'static Fact {
        facts(list).find(|fact| fact.name == name).unwrap()
    }

    fn at(cell: &str) -> Result<i64, String> {
        moment(cell, Some(zone("+08:00").unwrap()), false)
    }

    /// 2022-05-24 07:30:00 +08:00, by `date -d`.
    const HALF_PAST_SEVEN: i64 = 1_653_348_600_000;
    /// 2022-05-24 00:00:00 +08:00.
    const MIDNIGHT: i64 = 1_653_321_600_000;

    #[test]
    fn a_time_is_read_as_people_write_it_in_the_zone_of_the_site() {
        for cell in [
            "2022-05-24 07:30",
            "2022/5/24 7:30",
            "2022.5.24 7:30:00",
            "2022年5月24日7时30分",
            "2022年5月24日 上午7:30",
            "2022/5/24 7:30 AM",
            "20220524 07:30",
            "2022-05-24T07:30:00+08:00",
            "2022-05-23T23:30:00Z",
            "1653348600000",
            "２０２２－０５－２４　０７：３０",
            "2022-05-24 07:30:00.000",
        ] {
            assert_eq!(at(cell), Ok(HALF_PAST_SEVEN), "{cell}");
        }
        let evening = HALF_PAST_SEVEN + 12 * 3_600_000;
        assert_eq!((at("2022/5/24 下午 7:30"), at("2022-05-24 19:30")), (Ok(evening), Ok(evening)));
        assert_eq!(at("2022/5/24 12:05 AM"), Ok(MIDNIGHT + 300_000));
        assert_eq!(at("2022年5月24日"), Ok(MIDNIGHT));
        let end = moment("2022-05-24", Some(zone("+08:00").unwrap()), true);
        assert_eq!(end, Ok(MIDNIGHT + 86_400_000), "until a day is with that day");
        for cell in [
            "24.05.2022",
            "5/24/2022",
            "22-05-24",
            "44705",
            "1653348600",
            "2022-13-01",
            "2022-02-30",
            "2022-05",
            "tomorrow",
            "2022-05-24 25:00",
            "2022-05-24 下午 13:00",
            "1922-05-24",
        ] {
            assert!(at(cell).is_err(), "{cell}");
        }
        assert!(moment("2022-05-24 07:30", None, false).unwrap_err().contains("--zone"));
        assert_eq!(moment("2022-05-24T07:30:00+08:00", None, false), Ok(HALF_PAST_SEVEN));
        for text in ["8", "+8:60", "+25:00", "Asia/Shanghai", "+-1"] {
            assert!(zone(text).is_err(), "{text}");
        }
        assert_eq!(zone("-3:30").map(Offset::seconds), Ok(-12_600));
    }

    #[test]
    fn the_words_of_an_office_are_facts_and_a_word_for_nothing_is_refused_with_what_is_allowed() {
        let read = |list, name, cell| value(named(list, name), cell, None);
        for (list, name, cell, fact) in [
            ("status", "colour", "绿码", json!("green")),
            ("status", "colour", "Green", json!("green")),
            ("status", "test_result", "阴性", json!("negative")),
            ("status", "risk_area", "否", json!(false)),
            ("status", "out_of_city", "√", json!(true)),
            ("pass", "uses", "单次", json!(1)),
            ("pass", "crew", "２", json!(2)),
            ("pass", "approvals", "GX、JT", json!(["GX", "JT"])),
            ("roster", "role", "陪护", json!("companion")),
            ("stages", "stage", "５", json!(5)),
            ("schedule", "closed", "2022-05-01、2022-05-02", json!(["2022-05-01", "2022-05-02"])),
            (
                "schedule",
                "open",
                "1-5 08:00-17:30；6,7 09:00-12:00",
                json!(["1-5 08:00-17:30", "6,7 09:00-12:00"]),
            ),
        ] {
            assert_eq!(read(list, name, cell), Ok(Some(fact)), "{cell}");
        }
        for (list, name, cell) in
            [("status", "colour", "-"), ("pass", "exp_ms", "长期"), ("pass", "crew", "")]
        {
            assert_eq!(read(list, name, cell), Ok(None), "{name}: {cell}");
        }
        let said = read("status", "colour", "grean").unwrap_err();
        assert!(said.contains("grean") && said.contains("green (绿码)"), "{said}");
        for (list, name, cell) in [
            ("status", "risk_area", "maybe"),
            ("pass", "uses", "2"),
            ("pass", "crew", "-1"),
            ("roster", "role", "boss"),
            ("stages", "stage", "7"),
            ("schedule", "closed", "every Monday"),
            ("schedule", "open", "always"),
        ] {
            assert!(read(list, name, cell).is_err(), "{name}: {cell}");
        }
    }

    #[test]
    fn titles_stand_for_facts_in_both_languages_and_no_title_for_two_of_one_list() {
        for (list, title, name) in [
            ("status", "学号", "id"),
            ("status", " 采样时间（北京时间）", "sampled_at_ms"),
            ("status", "Sampled at", "sampled_at_ms"),
            ("status", "Test-Result", "test_result"),
            ("status", "单位", "group"),
            ("roster", "单位", "company"),
            ("pass", "车牌号", "plate"),
            ("hold", "车牌号", "id"),
        ] {
            assert_eq!(of_list(list, None, title).as_deref(), Some(name), "{list}: {title}");
        }
        assert_eq!(of_list("status", None, "家长电话"), None);
        assert_eq!(of_list("status", Some("考生号"), "考生号").as_deref(), Some("id"));
        assert_eq!(of_list("status", Some("考生号"), "学号"), None, "another column is the id");
        assert!(near("status", "colur").unwrap_err().contains("`colour`"));
        for fact in kakou_core::entry::all() {
            let words = TITLES.iter().find(|(of, _)| *of == fact.name).map_or(&[][..], |(_, words)| *words);
            for title in words {
                let all: Vec<_> =
                    facts(fact.list).filter(|f| stands_for(title, f.name)).map(|f| f.name).collect();
                assert_eq!(all, [fact.name], "{}: {title}", fact.list);
            }
        }
    }
}
