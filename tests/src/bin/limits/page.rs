//! The page of the documentation, from what was seen.

use super::{Limit, Phase, Shown};
use kakou_tests::figures::machine;
use std::collections::BTreeMap;
use std::fmt::Write;

const HEAD: &str = "# When something is short (资源不足时)

What the lanes do when the box is short of memory, of room, of files, of a quick disk or of a processor, measured on the real
daemon. This page is written by the program that measures; `cargo run --release -p kakou-tests --bin limits -- --page
gateway/docs/limits.md` writes it anew (root, control groups of version 1, loop devices).

Three lanes: a gate (code, lists, barrier), one that measures temperature, one at which an officer accepts a photograph. The
broker is away all the time, so that everything is kept. ";

const RULE: &str = "
Two things hold under each limit and are checked behind it: every barrier that moved and every act that was answered is in the
journal, and the whole journal with its photographs verifies. Where nothing can be recorded, nothing opens: the lanes close and
say so, and open by themselves when recording works again.
";

/// The page.
pub fn text(all: &[Shown], seconds: u64) -> String {
    let machine = machine();
    let mut out = HEAD.to_owned();
    let said = |key: &str| machine[key].as_str().unwrap_or_default().to_owned();
    let cores = &machine["cores"];
    writeln!(out, "Each limit lasted {seconds} s, on {cores} cores ({}).", said("cpu"))
        .expect("a text grows");
    out.push_str(RULE);
    out.push_str(
        "\n| short of | held by | went in, of those who came: before, under, behind | gate, p50 / p99 ms: before, under, behind \
         | back after |\n| --- | --- | --- | --- | --- |\n",
    );
    for shown in all {
        let people = |p: &Phase| format!("{} of {}", p.opened, p.shown);
        let times = |p: &Phase| match p.opened {
            0 => "none".to_owned(),
            _ => format!("{:.1} / {:.1}", p.gate_p50_ms, p.gate_p99_ms),
        };
        let Shown { before, under, after, held_by, back_s, .. } = shown;
        let each = |of: &dyn Fn(&Phase) -> String| [before, under, after].map(of).join(", ");
        let (name, people, times) = (title(shown.limit), each(&people), each(&times));
        writeln!(out, "| {name} | {held_by} | {people} | {times} | {back_s:.1} s |").expect("a text grows");
    }
    for shown in all {
        write!(out, "\n## {}\n\n{}", title(shown.limit), words(shown.limit)).expect("a text grows");
        out.push_str(&facts(shown));
    }
    out
}

fn title(limit: Limit) -> &'static str {
    match limit {
        Limit::Memory => "Memory (内存)",
        Limit::FullDisk => "A full disk (磁盘已满)",
        Limit::ReadOnly => "A disk that cannot be written to (磁盘只读)",
        Limit::Files => "Files and connections (文件句柄)",
        Limit::SlowDisk => "A slow disk (磁盘缓慢)",
        Limit::Core => "A tenth of a core (处理器不足)",
    }
}

fn words(limit: Limit) -> &'static str {
    match limit {
        Limit::Memory => {
            "The daemon begins and works within it; pages of the lists and of the journal that it could keep are read again \
             instead.\n"
        }
        Limit::FullDisk => {
            "The reserve is given up, so that the journal can say what happened; delivered photographs and events go first, \
             then bodies of health and samples, never a verdict. Staff let people in as the plan for a closed lane says. To do: \
             make room on the disk, or shorten `[retention]`; nobody need start anything.\n"
        }
        Limit::ReadOnly => {
            "Nothing can be recorded, so the lanes stay closed for as long as the disk is so. To do: start the box again; its \
             start checks and mends the disk. If that does not help the disk is broken: [replace the box](../../provisioning/README.md).\n"
        }
        Limit::Files => {
            "What is open stays open: journal, lists, devices, screens. New pages and connections wait, and so does the link to \
             the broker; each is tried again.\n"
        }
        Limit::SlowDisk => {
            "Each verdict waits for its record, and whoever comes at the same time shares it. Whoever is not let in while the \
             record takes too long shows the card again.\n"
        }
        Limit::Core => "Everything is slower, in the same order; what is asked in vain is asked again.\n",
    }
}

/// What was counted, as a list.
fn facts(shown: &Shown) -> String {
    let mut out = String::from("\n");
    let mut line = |what: &str, found: String| {
        if !found.is_empty() {
            writeln!(out, "- {what}: {found}").expect("a text grows");
        }
    };
    let counted = |all: &BTreeMap<String, u64>| {
        all.iter().map(|(name, n)| format!("{name} {n}")).collect::<Vec<_>>().join(", ")
    };
    let said = shown.said.keys().filter(|words| !["next", "working", "ADMIT"].contains(&words.as_str()));
    let said: Vec<String> = said.map(|words| format!("“{words}”")).collect();
    line("stopped by a verdict under the limit", counted(&shown.under.stopped));
    line("the screen of the gate said, beside its usual words", said.join(", "));
    line(
        "the status page: store",
        shown.store.clone().unwrap_or_else(|| "no answer while it lasted".to_owned()),
    );
    line("counters that grew", counted(&shown.counters));
    let measured = shown.measured.iter().map(|(name, value)| format!("{name} {value}"));
    line("measured", measured.collect::<Vec<_>>().join(", "));
    line(
        "missing afterwards",
        if shown.lost.is_empty() { "nothing".to_owned() } else { shown.lost.join("; ") },
    );
    out
}
