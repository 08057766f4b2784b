//! How a name that an officer types is found: in any spelling of Unicode, in either case, by any part of
//! it, and by pinyin: whole, or the first letters of each character.

use pinyin::{Pinyin, ToPinyinMulti};
use std::collections::BTreeSet;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// What an officer typed.
pub struct Typed {
    folded: String,
    /// Only Latin letters may be pinyin.
    letters: Option<Vec<char>>,
}

/// Without case, marks, blanks and points: what makes two spellings of a name one.
fn fold(text: &str) -> String {
    let plain: String = text.nfkd().filter(|c| !is_combining_mark(*c)).collect();
    // By way of small and then capital letters: ß, ẞ and SS are one.
    plain
        .to_lowercase()
        .to_uppercase()
        .chars()
        .flat_map(char::to_lowercase)
        .filter(|c| c.is_alphanumeric())
        .collect()
}

impl Typed {
    /// Nothing where nothing is left to look for.
    pub fn new(text: &str) -> Option<Self> {
        let folded = fold(text);
        let latin = folded.chars().all(|c| c.is_ascii_lowercase());
        let letters = latin.then(|| folded.chars().collect());
        (!folded.is_empty()).then_some(Self { folded, letters })
    }

    /// Whether a name is meant.
    pub fn means(&self, name: &str) -> bool {
        let name = fold(name);
        name.contains(&self.folded)
            || self.letters.as_ref().is_some_and(|typed| {
                // A name in letters was compared above.
                !name.is_ascii() && reads(typed, &name.chars().collect::<Vec<_>>())
            })
    }
}

/// Whether the letters are the beginning of each reading of the characters, one after the other, as far as they go.
fn reads(typed: &[char], name: &[char]) -> bool {
    // How many letters may have been read, after each character.
    let mut read = BTreeSet::from([0]);
    for c in name {
        if read.is_empty() || read.contains(&typed.len()) {
            break;
        }
        let behind = |from: &usize| -> Vec<usize> {
            let left = &typed[*from..];
            let Some(readings) = c.to_pinyin_multi() else {
                return if left[0] == *c { vec![from + 1] } else { vec![] };
            };
            let same = |reading: Pinyin| {
                let letters = reading.plain().chars().zip(left);
                letters.take_while(|(read, typed)| same_letter(*read, **typed)).count()
            };
            let longest = readings.into_iter().map(same).max().unwrap_or(0);
            (from + 1..=from + longest).collect()
        };
        read = read.iter().flat_map(behind).collect();
    }
    read.contains(&typed.len())
}

/// A keyboard has no ü: `lv` and `lu` are typed for it.
fn same_letter(read: char, typed: char) -> bool {
    read == typed || (read == 'ü' && matches!(typed, 'u' | 'v'))
}

#[cfg(test)]
mod tests {
    use crate::store::edition::{Order, build, supplement};
    use crate::store::lists::Lists;
    use std::path::Path;

    fn school(data: &Path, names: &[(&str, &str)]) -> Lists {
        let mut sorted = names.to_vec();
        sorted.sort_unstable();
        let line = |(id, name): &(&str, &str)| {
            format!("{}\n", serde_json::json!({ "id": id, "facts": { "name": name, "group": "3年2班" } }))
        };
        let text: String = sorted.iter().map(line).collect();
        let order = Order {
            data,
            name: "status",
            version: 1,
            issued_ms: 1_000,
            base: None,
            sha256: None,
            signer: "",
            canary: &[],
            check: None,
        };
        build(&order, text.as_bytes(), &mut |_| true).unwrap();
        Lists::open(data).unwrap()
    }

    fn found(lists: &Lists, typed: &str) -> Vec<String> {
        // Ids are kept in their one form.
        lists.search(typed, 20).unwrap().into_iter().map(|(id, _)| id.to_lowercase()).collect()
    }

    #[test]
    fn a_name_is_found_in_any_normal_form_and_in_either_case() {
        let folder = tempfile::tempdir().unwrap();
        let lists =
            school(folder.path(), &[("m", "Müller"), ("s", "SCHMIDT"), ("z", "José Ángel"), ("w", "Weiß")]);
        for typed in ["Müller", "müller", "MÜLLER", "Mu\u{308}ller", "mu\u{308}ll", "Ｍüller", "muller"]
        {
            assert_eq!(found(&lists, typed), ["m"], "{typed}");
        }
        for (typed, id) in
            [("schmidt", "s"), ("Schmidt", "s"), ("jose angel", "z"), ("weiss", "w"), ("WEIẞ", "w")]
        {
            assert_eq!(found(&lists, typed), [id], "{typed}");
        }
        assert!(found(&lists, "Meier").is_empty());
    }

    #[test]
    fn a_chinese_name_is_found_by_pinyin_and_by_any_part() {
        let folder = tempfile::tempdir().unwrap();
        let names = [
            ("1", "张丽莎"),
            ("2", "张丽"),
            ("3", "李莎莎"),
            ("4", "单小雨"),
            ("5", "古丽·艾山"),
            ("6", "王 小明"),
        ];
        let lists = school(folder.path(), &names);
        for (typed, ids) in [
            ("zhls", &["1"][..]),
            ("zls", &["1"]),
            ("ZLS", &["1"]),
            ("zhanglisha", &["1"]),
            ("zhang li sha", &["1"]),
            ("zhangl", &["1", "2"]),
            ("zl", &["1", "2"]),
            ("丽莎", &["1"]),
            ("莎", &["1", "3"]),
            // Both readings of a surname.
            ("shanxy", &["4"]),
            ("danxy", &["4"]),
            ("古丽艾山", &["5"]),
            ("wangxiaoming", &["6"]),
            ("王小明", &["6"]),
            ("zx", &[]),
        ] {
            let mut got = found(&lists, typed);
            got.sort();
            assert_eq!(got, ids, "{typed}");
        }
    }

    #[test]
    fn a_long_name_is_compared_however_many_ways_there_are_to_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let long = "阿".repeat(60);
        let lists = school(folder.path(), &[("1", &long)]);
        assert_eq!(found(&lists, &"a".repeat(40)), ["1"]);
        // 安 may be read by one letter, or by two: from each, the rest in as many ways again.
        let anan = "安".repeat(60);
        let lists = school(folder.path(), &[("1", &anan)]);
        assert_eq!(found(&lists, &"an".repeat(30)), ["1"]);
        assert!(found(&lists, &format!("{}x", "aan".repeat(40))).is_empty());
    }

    #[test]
    fn a_search_that_is_answered_by_its_beginning_reads_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<(String, String)> =
            (0..30).map(|n| (format!("{n:02}"), format!("孙{n:02}"))).collect();
        let mut names: Vec<(&str, &str)> =
            names.iter().map(|(id, name)| (id.as_str(), name.as_str())).collect();
        names.push(("zz", "李"));
        let lists = school(folder.path(), &names);
        // A name that no reader understands, to see who reads it.
        let file =
            rusqlite::Connection::open(crate::store::floors::folder(folder.path()).join("status-1.db"))
                .unwrap();
        let bad = b"{\"name\":\"\xff\"}".to_vec();
        file.execute("UPDATE entry SET facts = ?1 WHERE id = 'ZZ'", [bad]).unwrap();
        assert_eq!(lists.search("孙", 30).unwrap().len(), 30);
        assert!(lists.search("孙", 31).is_err());
    }

    #[test]
    fn what_begins_as_typed_comes_first_and_no_more_than_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<(String, String)> = (0..60)
            .map(|n| (format!("{n:02}"), format!("{}孙{n:02}", if n < 50 { "小" } else { "" })))
            .collect();
        let names: Vec<(&str, &str)> = names.iter().map(|(id, name)| (id.as_str(), name.as_str())).collect();
        let lists = school(folder.path(), &names);
        let got = found(&lists, "孙");
        assert_eq!(got.len(), 20);
        assert!(got[..10].iter().all(|id| id.as_str() >= "50"), "{got:?}");
    }

    #[test]
    fn what_a_newer_entry_says_is_found_and_what_it_took_away_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let lists = school(folder.path(), &[("a", "陈一"), ("b", "陈二")]);
        supplement(folder.path(), "status", "a", 5_000, None).unwrap();
        let renamed = serde_json::json!({ "name": "陈三", "group": "4年1班" });
        supplement(folder.path(), "status", "b", 5_000, renamed.as_object()).unwrap();
        assert_eq!(found(&lists, "陈"), ["b"]);
        assert_eq!(found(&lists, "陈三"), ["b"]);
        assert!(found(&lists, "陈一").is_empty() && found(&lists, "陈二").is_empty());
        assert_eq!(lists.search("chen", 20).unwrap()[0].1["group"], "4年1班");
    }
}
