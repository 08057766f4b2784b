//! Tables as spreadsheets save them: CSV in several encodings and with several separators, read where that is
//! unambiguous.

use encoding_rs::{Encoding, GB18030, GBK};
use kakou_core::text::{self, trimmed, without_mark};

/// A table; its cells without blanks around them.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// The columns that are wanted.
    pub columns: Vec<Column>,
    /// The rows that say something, each with its line in the file and a cell for each of these columns.
    pub rows: Vec<(u64, Vec<String>)>,
    /// How it is written.
    pub encoding: &'static str,
    /// What stands between two cells.
    pub separator: char,
    /// The columns that were left out.
    pub left_out: Vec<String>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What stands above it.
    pub title: String,
    /// What it is.
    pub name: String,
}

/// Which columns are understood.
pub struct ColumnNames<'a> {
    /// What a column is, by its title.
    pub named: &'a dyn Fn(&str) -> Option<String>,
    /// Titles of columns that are not wanted.
    pub leave_out: &'a [String],
    /// What there is, for whoever has another.
    pub all: &'a str,
}

impl ColumnNames<'_> {
    fn is_left_out(&self, title: &str) -> bool {
        self.leave_out.iter().any(|one| trimmed(one) == title)
    }
}

const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

/// Reads a table. A column that is neither understood nor left out is an error: what stands in it may matter.
pub fn read(file: &[u8], known: &ColumnNames) -> Result<Table, String> {
    let (text, encoding) = decode(file)?;
    let (text, told) = separator_line(&text);
    let separator = match told {
        Some(separator) => separator,
        None => guess(text, known)?,
    };
    // The line `sep=` counts for who looks for a line in the file.
    let skipped = u64::from(told.is_some());
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .flexible(true)
        .has_headers(false)
        .from_reader(text.as_bytes());
    let mut lines = reader.records().map(|record| {
        let record = record.map_err(|e| format!("not a table: {e}"))?;
        let line = skipped + line_at(text, record.position().map_or(0, csv::Position::byte));
        Ok::<_, String>((line, record.iter().map(cell).collect::<Vec<_>>()))
    });
    let (line, mut titles) = lines.next().unwrap_or_else(|| Err("it is empty".into()))?;
    while titles.last().is_some_and(String::is_empty) {
        titles.pop();
    }
    if let Some(at) = titles.iter().position(String::is_empty) {
        return Err(format!("line {line}: column {} has no name", at + 1));
    }
    let (mut columns, mut wanted, mut strange) = (Vec::<Column>::new(), Vec::new(), Vec::new());
    let mut left_out = Vec::new();
    for (at, title) in titles.iter().enumerate() {
        if known.is_left_out(title) {
            left_out.push(title.clone());
        } else if let Some(name) = (known.named)(title) {
            if let Some(other) = columns.iter().find(|c| c.name == name) {
                let both =
                    format!("line {line}: the columns `{}` and `{title}` are both `{name}`", other.title);
                return Err(format!("{both}: leave one out (--leave-out), or give it another name"));
            }
            columns.push(Column { title: title.clone(), name });
            wanted.push(at);
        } else {
            strange.push(title.as_str());
        }
    }
    if let [one, ..] = strange[..] {
        return Err(format!(
            "line {line}: `{one}` is no column for this; there are: {}. What is not wanted: --leave-out {}",
            known.all,
            strange.join(",")
        ));
    }
    let mut rows = Vec::new();
    for row in lines {
        let (line, cells) = row?;
        if cells.iter().all(String::is_empty) {
            continue;
        }
        if let Some(over) = cells.iter().skip(titles.len()).find(|cell| !cell.is_empty()) {
            return Err(format!(
                "line {line}: it has {} cells, the first line names {} columns; put a text with `{}` in it in quotes, or give the column of `{over}` a name",
                cells.len(),
                titles.len(),
                char::from(separator).escape_default(),
            ));
        }
        // Spreadsheets leave empty cells at the end out.
        let cells: Vec<String> =
            wanted.iter().map(|at| cells.get(*at).cloned().unwrap_or_default()).collect();
        if let Some(rounded) = cells.iter().find(|cell| is_rounded(cell)) {
            return Err(format!(
                "line {line}: `{rounded}` is a long number that the spreadsheet has rounded: format the column as text, type the number anew and save again"
            ));
        }
        rows.push((line, cells));
    }
    Ok(Table { columns, rows, encoding, separator: char::from(separator), left_out })
}

/// A cell as it is meant. `="007"` is how spreadsheets are told not to take an id for a number.
fn cell(text: &str) -> String {
    let text = trimmed(text);
    let told = text.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"'));
    trimmed(told.unwrap_or(text)).to_owned()
}

/// The line of what is read from a byte on: a reader passes over line ends and empty lines first.
fn line_at(text: &str, byte: u64) -> u64 {
    let (before, rest) = text.split_at(usize::try_from(byte).unwrap_or(usize::MAX).min(text.len()));
    let passed = rest.len() - rest.trim_start_matches(['\r', '\n']).len();
    let ends = before.bytes().chain(rest.bytes().take(passed)).filter(|b| *b == b'\n').count();
    1 + ends as u64
}

/// `2.1E+17`: no id looks so, and no id is to be had from it.
fn is_rounded(cell: &str) -> bool {
    let Some((number, power)) = cell.split_once("E+") else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits(power) && number.split('.').all(digits)
}

/// `sep=;` in the first line, as some spreadsheets want and write it.
fn separator_line(text: &str) -> (&str, Option<u8>) {
    let told = || {
        let (line, rest) = text.split_once('\n')?;
        let sign = line.trim_end_matches('\r').trim_matches('"').strip_prefix("sep=")?;
        let separator = SEPARATORS.into_iter().find(|s| sign.as_bytes() == [*s])?;
        Some((rest, separator))
    };
    told().map_or((text, None), |(rest, separator)| (rest, Some(separator)))
}

/// The separator with which most of the first line's names are understood.
fn guess(text: &str, known: &ColumnNames) -> Result<u8, String> {
    let first = text.lines().next().unwrap_or_default();
    let understood = |separator: &u8| {
        let titles = first.split(char::from(*separator)).map(|c| trimmed(trimmed(c).trim_matches('"')));
        titles.filter(|t| known.is_left_out(t) || (known.named)(t).is_some()).count()
    };
    let there: Vec<u8> = SEPARATORS.into_iter().filter(|s| first.as_bytes().contains(s)).collect();
    let best = there.iter().max_by_key(|s| understood(s)).filter(|s| understood(s) > 0);
    match (there.as_slice(), best) {
        (_, Some(separator)) | ([separator], None) => Ok(*separator),
        // One column, or something else; what that is is told of its name.
        ([], None) => Ok(b','),
        (_, None) => Err(format!(
            "line 1: `{first}` is not understood; expected are names of columns with commas between them, of: {}",
            known.all
        )),
    }
}

fn decode(file: &[u8]) -> Result<(String, &'static str), String> {
    if let Some((encoding, mark)) = Encoding::for_bom(file) {
        let (text, broken) = encoding.decode_without_bom_handling(&file[mark..]);
        return if broken {
            Err(format!("it is not {} throughout", encoding.name()))
        } else {
            Ok((text.into_owned(), encoding.name()))
        };
    }
    let wrong = match std::str::from_utf8(without_mark(file)) {
        Ok(text) => return Ok((text.to_owned(), "UTF-8")),
        Err(e) => text::line_at(file, e.valid_up_to()),
    };
    let text = GB18030.decode_without_bom_handling_and_without_replacement(file);
    text.filter(|text| is_chinese(text))
        .map(|text| (text.into_owned(), "GB18030"))
        .ok_or_else(|| format!("line {wrong}: it is neither UTF-8 nor clearly GBK; save it as \"CSV UTF-8\""))
}

/// Whether a text that was read as GBK is one. Letters with marks of other encodings read as Chinese characters too,
/// but they stand among Latin letters.
fn is_chinese(text: &str) -> bool {
    let common = |c: char| {
        let mut one = [0; 4];
        let (bytes, _, failed) = GBK.encode(c.encode_utf8(&mut one));
        !failed && matches!(*bytes, [a, b] if a >= 0xa1 && b >= 0xa1)
    };
    let all: Vec<char> = text.chars().collect();
    all.iter().enumerate().filter(|(_, c)| !c.is_ascii()).all(|(at, c)| {
        let before = at.checked_sub(1).and_then(|at| all.get(at));
        let after = all.get(at + 1);
        let small = |c: Option<&char>| c.is_some_and(char::is_ascii_lowercase);
        let letter = before.is_some_and(char::is_ascii_alphabetic);
        !small(before) && !small(after) && (common(*c) || !letter)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(file: &[u8], leave_out: &[String]) -> Result<Table, String> {
        let named = |title: &str| ["id", "name", "group"].contains(&title).then(|| title.to_owned());
        read(file, &ColumnNames { named: &named, leave_out, all: "id, name, group" })
    }

    type Rows = Vec<(u64, Vec<String>)>;

    fn rows(file: &[u8]) -> Result<Rows, String> {
        let table = read_as(file, &[])?;
        let names: Vec<_> = table.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["id", "name"]);
        Ok(table.rows)
    }

    fn of(rows: &[(u64, [&str; 2])]) -> Rows {
        rows.iter().map(|(line, row)| (*line, row.map(str::to_owned).to_vec())).collect()
    }

    #[test]
    fn a_table_is_read_as_every_spreadsheet_saves_it() {
        let plain = of(&[(2, ["R-1", "张三"]), (3, ["R-2", "李四"])]);
        let utf16 = |big: bool| {
            let text = "\u{feff}id\tname\r\nR-1\t张三\r\nR-2\t李四\r\n".encode_utf16();
            text.flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() }).collect::<Vec<u8>>()
        };
        for (what, file) in [
            ("UTF-8", "id,name\nR-1,张三\nR-2,李四\n".as_bytes().to_vec()),
            ("with a mark and line ends of Windows", "\u{feff}id,name\r\nR-1,张三\r\nR-2,李四\r\n".into()),
            ("semicolons", "id;name\nR-1;张三\nR-2;李四".into()),
            ("tabs", "id\tname\nR-1\t张三\nR-2\t李四".into()),
            ("quotes and blanks", "\"id\" , name\n\"R-1\",\" 张三\"\nR-2 ,李四".into()),
            ("told that they are texts", "id,name\n=\"R-1\",张三\n\"=\"\"R-2\"\"\",李四".into()),
            ("empty columns and rows", "id,name,,\nR-1,张三,,\nR-2,李四\n,,,\n\n,,\n".into()),
            ("GBK", GBK.encode("id,name\nR-1,张三\nR-2,李四\n").0.into_owned()),
            ("UTF-16 of this machine", utf16(false)),
            ("UTF-16 of others", utf16(true)),
        ] {
            assert_eq!(rows(&file).as_ref(), Ok(&plain), "{what}");
        }
        let told = rows("sep=;\nid;name\nR-1;张三\nR-2;李四".as_bytes()).unwrap();
        assert_eq!(told, of(&[(3, ["R-1", "张三"]), (4, ["R-2", "李四"])]), "lines are those of the file");
        let rare = GBK.encode("id,name\nR-1,张镕A\n").0.into_owned();
        assert_eq!(rows(&rare).unwrap()[0].1[1], "张镕A", "a rare character of a name");
    }

    #[test]
    fn what_is_ambiguous_is_refused_in_words_with_its_line() {
        let latin =
            |text: &str| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect::<Vec<u8>>();
        for (file, words) in [
            (latin("id,name\nR-1,Müller"), "line 2: it is neither UTF-8 nor clearly GBK"),
            (latin("id,name\nR-1,Größe"), "line 2: it is neither UTF-8 nor clearly GBK"),
            (b"id,name\nR-1,a,b".to_vec(), "line 2: it has 3 cells, the first line names 2 columns"),
            (
                b"id,phone\nR-1,1".to_vec(),
                "line 1: `phone` is no column for this; there are: id, name, group",
            ),
            (b"id,,name\n".to_vec(), "line 1: column 2 has no name"),
            (b"id,id\n".to_vec(), "line 1: the columns `id` and `id` are both `id`"),
            (b"id,name\n2.10101E+17,x".to_vec(), "line 2: `2.10101E+17` is a long number"),
            ("id，name\n".into(), "line 1: `id，name` is no column"),
            (b"id,name\r\n\r\nR-1,a\r\n\r\nR-2,b,c\r\n".to_vec(), "line 5: it has 3 cells"),
            (b"".to_vec(), "it is empty"),
        ] {
            let said = read_as(&file, &[]).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn a_column_that_is_not_wanted_is_left_out_by_name_alone() {
        let file = "id;phone;name;no\nR-1;2.1E+10;张三;1".as_bytes();
        assert!(read_as(file, &[]).unwrap_err().contains("--leave-out phone,no"));
        let table = read_as(file, &["phone".to_owned(), " no".to_owned()]).unwrap();
        assert_eq!(
            (table.left_out, table.rows),
            (vec!["phone".into(), "no".into()], of(&[(2, ["R-1", "张三"])]))
        );
    }
}
