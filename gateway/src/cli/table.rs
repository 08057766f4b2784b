//! Tables as spreadsheets save them: CSV in several encodings and with several separators, read where that is
//! unambiguous.

use encoding_rs::{Encoding, GB18030, GBK};
use kakou_core::text::{trimmed, without_mark};

/// A table; its cells without blanks around them.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// The names in the first line.
    pub names: Vec<String>,
    /// The rows that say something, each with its line in the file.
    pub rows: Vec<(u64, Vec<String>)>,
}

const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

/// Reads a table whose columns are among `known`.
pub fn read(file: &[u8], known: &[&str]) -> Result<Table, String> {
    let text = decode(file)?;
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
        Ok::<_, String>((line, record.iter().map(|cell| trimmed(cell).to_owned()).collect::<Vec<_>>()))
    });
    let (line, mut names) = lines.next().unwrap_or_else(|| Err("it is empty".into()))?;
    while names.last().is_some_and(String::is_empty) {
        names.pop();
    }
    if let Some(at) = names.iter().position(String::is_empty) {
        return Err(format!("line {line}: column {} has no name", at + 1));
    }
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("line {line}: `{name}` is no column for this; there are: {}", known.join(", ")));
    }
    let twice = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
    if let Some((_, name)) = twice {
        return Err(format!("line {line}: two columns are named `{name}`"));
    }
    let mut rows = Vec::new();
    for row in lines {
        let (line, mut cells) = row?;
        if cells.iter().all(String::is_empty) {
            continue;
        }
        if let Some(over) = cells.iter().skip(names.len()).find(|cell| !cell.is_empty()) {
            return Err(format!(
                "line {line}: it has {} cells, the first line names {} columns; put a text with `{}` in it in quotes, or give the column of `{over}` a name",
                cells.len(),
                names.len(),
                char::from(separator).escape_default(),
            ));
        }
        if let Some(rounded) = cells.iter().find(|cell| is_rounded(cell)) {
            return Err(format!(
                "line {line}: `{rounded}` is a long number that the spreadsheet has rounded: format the column as text, type the number anew and save again"
            ));
        }
        // Spreadsheets leave empty cells at the end out, or write more of them.
        cells.resize(names.len(), String::new());
        rows.push((line, cells));
    }
    Ok(Table { names, rows })
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

/// The one separator with which the first line holds names that are known.
fn guess(text: &str, known: &[&str]) -> Result<u8, String> {
    let first = text.lines().next().unwrap_or_default();
    let fits = |separator: &u8| {
        let cells = first.split(char::from(*separator)).map(|c| trimmed(c).trim_matches('"'));
        cells.filter(|c| !c.is_empty()).all(|c| known.contains(&c))
    };
    let there: Vec<u8> = SEPARATORS.into_iter().filter(|s| first.as_bytes().contains(s)).collect();
    match (there.as_slice(), there.iter().find(|s| fits(s))) {
        (_, Some(separator)) | ([separator], None) => Ok(*separator),
        // One column, or something else; what that is is told of its name.
        ([], None) => Ok(b','),
        (_, None) => Err(format!(
            "line 1: `{first}` is not understood; expected are names of columns with commas between them, of: {}",
            known.join(", ")
        )),
    }
}

fn decode(file: &[u8]) -> Result<String, String> {
    if let Some((encoding, mark)) = Encoding::for_bom(file) {
        let (text, broken) = encoding.decode_without_bom_handling(&file[mark..]);
        return if broken {
            Err(format!("it is not {} throughout", encoding.name()))
        } else {
            Ok(text.into_owned())
        };
    }
    let wrong = match std::str::from_utf8(without_mark(file)) {
        Ok(text) => return Ok(text.to_owned()),
        Err(e) => 1 + file[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count(),
    };
    let text = GB18030.decode_without_bom_handling_and_without_replacement(file);
    text.filter(|text| is_chinese(text))
        .map(Into::into)
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

    const KNOWN: [&str; 3] = ["id", "name", "group"];

    fn table(rows: &[(u64, [&str; 2])]) -> Table {
        let rows = rows.iter().map(|(line, row)| (*line, row.map(str::to_owned).to_vec())).collect();
        Table { names: vec!["id".into(), "name".into()], rows }
    }

    #[test]
    fn a_table_is_read_as_every_spreadsheet_saves_it() {
        let plain = table(&[(2, ["R-1", "张三"]), (3, ["R-2", "李四"])]);
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
            ("empty columns and rows", "id,name,,\nR-1,张三,,\nR-2,李四\n,,,\n\n,,\n".into()),
            ("GBK", GBK.encode("id,name\nR-1,张三\nR-2,李四\n").0.into_owned()),
            ("UTF-16 of this machine", utf16(false)),
            ("UTF-16 of others", utf16(true)),
        ] {
            assert_eq!(read(&file, &KNOWN).as_ref(), Ok(&plain), "{what}");
        }
        let told = read("sep=;\nid;name\nR-1;张三\nR-2;李四".as_bytes(), &KNOWN).unwrap();
        assert_eq!(told, table(&[(3, ["R-1", "张三"]), (4, ["R-2", "李四"])]), "lines are those of the file");
        let rare = GBK.encode("id,name\nR-1,张镕A\n").0.into_owned();
        assert_eq!(read(&rare, &KNOWN).unwrap().rows[0].1[1], "张镕A", "a rare character of a name");
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
            (b"id,id\n".to_vec(), "line 1: two columns are named `id`"),
            (b"id,name\n2.10101E+17,x".to_vec(), "line 2: `2.10101E+17` is a long number"),
            ("id，name\n".into(), "line 1: `id，name` is no column"),
            (b"id,name\r\n\r\nR-1,a\r\n\r\nR-2,b,c\r\n".to_vec(), "line 5: it has 3 cells"),
            (b"".to_vec(), "it is empty"),
        ] {
            let said = read(&file, &KNOWN).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }
}
