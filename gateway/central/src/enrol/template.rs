//! Filling in a template: `{name}` becomes a value.

use std::collections::BTreeMap;

/// Fills in every `{name}`, or says which has no value. Braces around anything else stay: they are TOML's
/// inline tables. So do lines of comment: they speak of the template to whoever reads it.
pub fn fill(text: &str, values: &BTreeMap<&str, &str>) -> Result<String, String> {
    if let Some((name, _)) = values.iter().find(|(name, _)| !is_name(name)) {
        return Err(format!("`{name}` is no name: small letters, digits, `-` and `_`"));
    }
    // It stands between quotation marks, and is to stay there.
    let bad = |value: &str| value.chars().any(|c| c.is_control() || "\"'\\{}".contains(c));
    if let Some((name, value)) = values.iter().find(|(_, value)| bad(value)) {
        return Err(format!("{name}: `{value}` has a quotation mark, brace, backslash or control character"));
    }
    let lines = text.split_inclusive('\n');
    let filled = lines.map(|line| match line.trim_start().starts_with('#') {
        true => Ok(line.to_owned()),
        false => fill_line(line, values),
    });
    filled.collect()
}

fn fill_line(line: &str, values: &BTreeMap<&str, &str>) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), line);
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        match after.split_once('}') {
            Some((name, more)) if is_name(name) => {
                let value =
                    values.get(name).ok_or(format!("`{{{name}}}` has no value: --set {name}=VALUE"))?;
                out.push_str(value);
                rest = more;
            }
            Some(_) | None => {
                out.push('{');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    !text.is_empty() && text.chars().all(good)
}

#[cfg(test)]
mod tests {
    use super::fill;
    use std::collections::BTreeMap;

    #[test]
    fn names_are_filled_in_and_tables_stay() {
        let values = BTreeMap::from([("site", "school-4"), ("scanner", "/dev/ttyACM0"), ("region", "浙江")]);
        let text = "site = \"{site}\"\nregion = \"{region}\"\nport = { path = \"{scanner}\" }\nempty = {}\n";
        let filled =
            "site = \"school-4\"\nregion = \"浙江\"\nport = { path = \"/dev/ttyACM0\" }\nempty = {}\n";
        assert_eq!(fill(text, &values).as_deref(), Ok(filled));
        assert_eq!(fill("x = \"{pin}\"", &values), Err("`{pin}` has no value: --set pin=VALUE".to_owned()));
        for value in ["a\"b", "a\nb", "a\\", "{site}"] {
            assert!(fill("", &BTreeMap::from([("x", value)])).is_err(), "{value}");
        }
        assert!(fill("", &BTreeMap::from([("X y", "1")])).is_err());
        assert_eq!(fill("{", &values).as_deref(), Ok("{"));
    }

    #[test]
    fn a_comment_stays_as_it_was_written() {
        let values = BTreeMap::from([("site", "school-4")]);
        let text = "# {site} and {scanner} are filled in.\n  # {site}\nsite = \"{site}\" # not {this}\n";
        assert_eq!(fill(text, &values), Err("`{this}` has no value: --set this=VALUE".to_owned()));
        let filled = fill(&text.replace("{this}", "this"), &values).unwrap();
        assert_eq!(
            filled,
            "# {site} and {scanner} are filled in.\n  # {site}\nsite = \"school-4\" # not this\n"
        );
    }
}
