//! Bugs behind switches: what a patch takes away and what it puts there both stand in the code, and an environment variable
//! says which of them counts. So all bugs are built at once, and each runs alone.
//!
//! It is done by the text: of statements one block or the other runs; of a condition, an argument, an arm or a field of one
//! line it is the expression that is chosen.

use super::{Hunk, Patch};
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Which bug counts, by the name of its patch.
pub const SWITCH: &str = "KAKOU_PLANTED";

/// Plants bugs into sources, each behind a switch or not; gives what stood in the files that were changed.
pub fn plant(root: &Path, patches: &[&Patch], switched: bool) -> Result<BTreeMap<PathBuf, String>, String> {
    let mut edits: BTreeMap<PathBuf, Vec<(Range<usize>, String)>> = BTreeMap::new();
    let mut before = BTreeMap::new();
    for patch in patches {
        for hunk in &patch.hunks {
            let path = root.join(&hunk.file);
            let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            let mut at = text
                .find(&hunk.old())
                .ok_or_else(|| format!("{}: what it changes does not stand in {}", patch.name, hunk.file))?;
            for (gone, come, kept) in changes(hunk) {
                at += kept;
                let old: String = gone.iter().map(|line| format!("{line}\n")).collect();
                edits
                    .entry(path.clone())
                    .or_default()
                    .push((at..at + old.len(), chosen(switched, &patch.name, &gone, &come)));
                at += old.len();
            }
            before.insert(path, text);
        }
    }
    for (path, mut edits) in edits {
        // From the end, so that the places before stay where they are.
        edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
        let mut text = before[&path].clone();
        let mut behind = text.len() + 1;
        for (range, new) in edits {
            if range.end > behind {
                return Err(format!("two bugs change the same lines of {}", path.display()));
            }
            behind = range.start;
            text.replace_range(range, &new);
        }
        fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(before)
}

/// The changes of a hunk, one behind the other: lines that go, lines that come, and the bytes that stay before them.
fn changes(hunk: &Hunk) -> Vec<(Vec<&str>, Vec<&str>, usize)> {
    let (mut all, mut kept) = (Vec::new(), 0);
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    for (kind, line) in hunk.lines.iter().map(|(kind, line)| (*kind, line.as_str())).chain([(' ', "")]) {
        match kind {
            '-' => gone.push(line),
            '+' => come.push(line),
            _ => {
                if !gone.is_empty() || !come.is_empty() {
                    all.push((
                        std::mem::take(&mut gone),
                        std::mem::take(&mut come),
                        std::mem::take(&mut kept),
                    ));
                }
                kept += line.len() + 1;
            }
        }
    }
    all
}

/// Whether a bug can stand behind a switch: what goes and what comes are whole.
pub fn can_be_switched(patch: &Patch) -> bool {
    let whole = |lines: &[&str]| {
        let text = lines.join("\n");
        matches!(lines, [one] if condition(one).is_some())
            || text.matches('{').count() == text.matches('}').count()
    };
    patch.hunks.iter().all(|hunk| changes(hunk).iter().all(|(gone, come, _)| whole(gone) && whole(come)))
}

/// What stands between `if` and its block.
fn condition(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("if ")?.strip_suffix(" {")
}

/// Whether each of some lines is an arm of a `match`.
fn are_arms(lines: &[&str]) -> bool {
    let mut code = lines.iter().map(|line| line.trim()).filter(|line| !line.starts_with("//"));
    !lines.is_empty()
        && code.all(|line| line.contains(" => ") && (line.ends_with(',') || line.ends_with("{}")))
}

/// What stands there instead; where there is no switch, what comes.
fn chosen(switched: bool, bug: &str, gone: &[&str], come: &[&str]) -> String {
    let block = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    // An import counts whether it is used or not.
    if !switched || (gone.is_empty() && come.iter().all(|line| line.starts_with("use "))) {
        return block(come);
    }
    let on = format!("std::env::var_os({SWITCH:?}).is_some_and(|bug| bug == {bug:?})");
    let choose = |old: &str, new: &str| format!("if {on} {{ {new} }} else {{ {old} }}");
    if are_arms(gone) && are_arms(come) {
        let guarded: Vec<String> =
            come.iter().map(|arm| arm.replacen(" => ", &format!(" if {on} => "), 1)).collect();
        return block(&guarded.iter().map(String::as_str).collect::<Vec<_>>()) + &block(gone);
    }
    if let [old] = gone {
        let of = |line: &str| {
            let (head, value) = line.trim_start().strip_prefix("let ")?.split_once(" = ")?;
            Some((head.to_owned(), value.strip_suffix(';')?.to_owned()))
        };
        match (of(old), come) {
            // Without its second value a name has its first.
            (Some((name, old)), []) => return format!("let {name} = {};\n", choose(&old, &name)),
            (Some((name, old)), [new]) => {
                if let Some((same, new)) = of(new).filter(|(same, _)| *same == name) {
                    return format!("let {same} = {};\n", choose(&old, &new));
                }
            }
            _ => {}
        }
        if let (Some(old), []) = (old.trim_start().strip_prefix("&& "), come) {
            return format!("&& ({on} || {old})\n");
        }
    }
    if let ([old], [new]) = (gone, come) {
        if let (Some(old), Some(new)) = (condition(old), condition(new)) {
            return format!("if ({}) {{\n", choose(old, new));
        }
        if let (Some(old), Some(new)) = (old.strip_suffix(','), new.strip_suffix(',')) {
            if let (Some((head, old)), Some((same, new))) = (old.split_once(": "), new.split_once(": "))
                && head == same
            {
                return format!("{head}: {},\n", choose(old, new));
            }
            return format!("{},\n", choose(old, new));
        }
    }
    if gone.is_empty() {
        return format!("if {on} {{\n{}}}\n", block(come));
    }
    format!("if {on} {{\n{}}} else {{\n{}}}\n", block(come), block(gone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_and_what_comes_both_stand_there() {
        let on = "std::env::var_os(\"KAKOU_PLANTED\").is_some_and(|bug| bug == \"x\")";
        let cases = [
            ("if a > 1 {", "if a > 2 {", format!("if (if {on} {{ a > 2 }} else {{ a > 1 }}) {{\n")),
            ("A => b,", "A => c,", format!("A if {on} => c,\nA => b,\n")),
            ("a: b,", "a: c,", format!("a: if {on} {{ c }} else {{ b }},\n")),
            ("b(),", "c(),", format!("if {on} {{ c() }} else {{ b() }},\n")),
            ("b();", "c();", format!("if {on} {{\nc();\n}} else {{\nb();\n}}\n")),
            ("let a = b;", "let a = c;", format!("let a = if {on} {{ c }} else {{ b }};\n")),
        ];
        for (old, new, must) in cases {
            assert_eq!(chosen(true, "x", &[old], &[new]), must);
            assert_eq!(chosen(false, "x", &[old], &[new]), format!("{new}\n"));
        }
        assert_eq!(chosen(true, "x", &[], &["c();"]), format!("if {on} {{\nc();\n}}\n"));
        assert_eq!(chosen(true, "x", &["&& b"], &[]), format!("&& ({on} || b)\n"));
        assert_eq!(
            chosen(true, "x", &["let a = b(a);"], &[]),
            format!("let a = if {on} {{ a }} else {{ b(a) }};\n")
        );
    }

    #[test]
    fn all_bugs_are_planted_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let all = Patch::all().unwrap();
        let (patches, alone): (Vec<&Patch>, Vec<&Patch>) =
            all.iter().partition(|patch| can_be_switched(patch));
        assert!(patches.len() > 5 * alone.len(), "{alone:#?}");
        for patch in &patches {
            for hunk in &patch.hunks {
                let to = folder.path().join(&hunk.file);
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::copy(super::super::sources().join(&hunk.file), to).unwrap();
            }
        }
        let before = plant(folder.path(), &patches, true).unwrap();
        for patch in &patches {
            let file = folder.path().join(&patch.hunks[0].file);
            let now = fs::read_to_string(&file).unwrap();
            assert!(
                now.contains(&format!("bug == {:?}", patch.name)) && now != before[&file],
                "{}",
                patch.name
            );
        }
    }
}
