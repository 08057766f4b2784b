//! The page for people: what the records say, in Chinese and English, on paper as well. It is made of the [`Content`]
//! and the photographs alone, so that a verifier makes it again and compares.

use super::{CONTENT, CONTENT_END, Content, Record};
use base64::{Engine, engine::general_purpose::STANDARD};
use kakou_core::time::{local, parse_instant};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Photographs by their hash.
pub type Pictures = BTreeMap<String, Vec<u8>>;

/// Before the hash of a photograph.
pub const PICTURE: &str = "<img data-sha256=\"";
/// Between the hash and the bytes in base64; a quote ends them.
pub const PICTURE_BYTES: &str = "\" src=\"data:image/jpeg;base64,";

const STYLE: &str = "body{font:16px/1.5 system-ui,'Noto Sans CJK SC','Microsoft YaHei',sans-serif;max-width:60rem;margin:1.5rem \
auto;padding:0 1rem;color:#111;background:#fff}h1{font-size:1.6rem;margin:0 0 .3rem}h2{font-size:1.2rem;margin:2rem 0 \
.5rem;border-bottom:2px solid #111}table{border-collapse:collapse;width:100%}td,th{border:1px solid #999;padding:.3rem \
.5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}th{background:#eee}figure{margin:0 0 1rem;break-inside:avoid}\
figure img{max-width:100%;max-height:26rem}figcaption,.small{font-size:.85rem;color:#333;overflow-wrap:anywhere}\
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(18rem,1fr));gap:1rem}.bad{color:#b00020;font-weight:700}\
.warn{border:2px solid #111;padding:.6rem .8rem}tr{break-inside:avoid}dl{margin:0;display:grid;\
grid-template-columns:minmax(6rem,auto) 1fr;gap:0 .6rem}dt{color:#333}dd{margin:0}";

/// Kinds of events that an office asks for, in both languages.
const KINDS: [(&str, &str, &str); 9] = [
    ("transaction", "核验结论", "Decision"),
    ("override", "人工决定", "Decision by an officer"),
    ("pass_used", "通行证已用", "Pass used"),
    ("seal_applied", "加封", "Seal applied"),
    ("evidence", "证据签名", "Evidence signed"),
    ("seal_verified", "验封：完好", "Seals checked: whole"),
    ("seal_breach", "验封：异常", "Seals checked: breach"),
    ("transit_open", "过境开始", "Transit begun"),
    ("transit_close", "过境结束", "Transit ended"),
];

/// What a link is called.
const LINKS: [(&str, &str, &str); 4] = [
    ("applied", "加封", "applied"),
    ("resealed", "重新加封，替换此封", "replaced by another seal"),
    ("verified", "目的地验封：完好", "checked, whole"),
    ("breach", "验封：异常", "checked: breach"),
];

fn both(words: &[(&str, &str, &str)], key: &str) -> String {
    let known = words.iter().find(|(name, ..)| *name == key);
    known.map_or_else(|| escaped(key), |(_, zh, en)| format!("{zh} {en}"))
}

/// For HTML, in text and between quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // What turns or hides text is shown as what it is.
            c if c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}

/// Everything before the signature.
pub fn render(content: &Content, pictures: &Pictures) -> String {
    let mut out = String::new();
    let w = &mut out;
    let offset_ms = i64::from(content.utc_offset_minutes) * 60_000;
    let title = format!(
        "{} · {} · {}",
        escaped(&content.site),
        escaped(&content.gateway),
        escaped(content.visits.first().map_or("", String::as_str))
    );
    push(
        w,
        "<!doctype html>\n<html lang=\"zh\"><head><meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" \
        content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n",
    );
    push(
        w,
        &format!(
            "<title>检查点证据 Checkpoint evidence: {title}</title>\n<style>{STYLE}</style></head><body>\n"
        ),
    );
    push(
        w,
        &format!(
            "<h1>检查点证据 Checkpoint evidence</h1>\n<p>{title}<br>导出 Exported {}</p>\n",
            local(content.made_ms, offset_ms)
        ),
    );
    push(
        w,
        "<p class=\"warn\">本页显示并不证明未被改动：请用 <code>kakou evidence verify</code> 和您自己取得的根证书核验此文件。\
        <br>This page alone proves nothing: verify the file by <code>kakou evidence verify</code>, with a root that you \
        have from the authority and not from whoever gave you the file. A signature proves that the records are unchanged \
        since they were made, not that they are true.</p>\n",
    );
    if !content.links.is_empty() {
        push(
            w,
            "<h2>封条 Seals</h2>\n<table><tr><th>封条号 Number</th><th>事项 What</th><th>记录 Visit</th></tr>\n",
        );
        for link in &content.links {
            let class = if link.what == "breach" { " class=\"bad\"" } else { "" };
            push(
                w,
                &format!(
                    "<tr><td>{}</td><td{class}>{}</td><td>{}</td></tr>\n",
                    escaped(&link.seal),
                    both(&LINKS, &link.what),
                    escaped(&link.visit)
                ),
            );
        }
        push(w, "</table>\n");
    }
    pictures_of(w, content, pictures);
    push(w, "<h2>记录 Records</h2>\n<table><tr><th>号 No.</th><th>时间 Time</th><th>内容 What</th></tr>\n");
    content.records.iter().for_each(|record| row(w, record, offset_ms));
    push(w, "</table>\n<h2>核验资料 For the verifier</h2>\n");
    push(w, &format!("<p class=\"small\">公钥 Key: {}<br>", escaped(&content.key.public)));
    for (stream, through) in &content.receipts {
        push(w, &format!("中心回执 Receipted by the central side: {} 1–{through}<br>", escaped(stream)));
    }
    push(w, "他人的记录只以哈希出现。Records of others are here as hashes alone.</p>\n");
    let json = serde_json::to_string(content).expect("strings, numbers and lists are always JSON");
    // No word in it ends the element.
    push(w, &format!("{CONTENT}{}{CONTENT_END}\n</body></html>\n", json.replace('<', "\\u003c")));
    out
}

fn push(out: &mut String, text: &str) {
    out.push_str(text);
}

fn pictures_of(out: &mut String, content: &Content, pictures: &Pictures) {
    if content.photos.is_empty() {
        return;
    }
    push(out, "<h2>照片 Photographs</h2>\n<div class=\"grid\">\n");
    for photo in &content.photos {
        let role = escaped(&photo.role);
        push(out, "<figure>");
        match pictures.get(&photo.sha256) {
            Some(bytes) => {
                push(out, &format!("{PICTURE}{}{PICTURE_BYTES}", photo.sha256));
                STANDARD.encode_string(bytes, out);
                push(out, &format!("\" alt=\"{role}\">"));
            }
            None => push(
                out,
                &format!("<p class=\"bad\">不在此文件 Not in this file: {}</p>", escaped(&photo.state)),
            ),
        }
        push(
            out,
            &format!("<figcaption>{role}<br>SHA-256 {}</figcaption></figure>\n", escaped(&photo.sha256)),
        );
    }
    push(out, "</div>\n");
}

fn row(out: &mut String, record: &Record, offset_ms: i64) {
    let event: Value = serde_json::from_str(&record.body).unwrap_or_default();
    let kind = event["type"].as_str().unwrap_or_default();
    let kind = kind.strip_prefix("kakou.").unwrap_or(kind);
    let kind = kind.strip_suffix(".v1").unwrap_or(kind);
    let time = event["time"].as_str().and_then(parse_instant).map_or("—".into(), |ms| local(ms, offset_ms));
    let doubt = if event["clocksynced"] == true { "" } else { "<br>时钟未确认 clock not confirmed" };
    push(
        out,
        &format!(
            "<tr><td>{}</td><td>{time}{doubt}</td><td><b>{}</b><br><span class=\"small\">{}</span><dl>",
            record.seq,
            both(&KINDS, kind),
            escaped(event["subject"].as_str().unwrap_or_default())
        ),
    );
    facts(out, "", &event["data"]);
    push(out, "</dl></td></tr>\n");
}

/// Every value with the path to it, but for what machines alone read.
fn facts(out: &mut String, path: &str, value: &Value) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, value) in
                fields.iter().filter(|(name, _)| !["manifest", "signature", "alg"].contains(&name.as_str()))
            {
                facts(out, &below(name), value);
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                facts(out, &below(&(n + 1).to_string()), item);
            }
        }
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => fact(out, path, text),
        Value::Bool(_) | Value::Number(_) => fact(out, path, &value.to_string()),
    }
}

fn fact(out: &mut String, path: &str, value: &str) {
    if let Err(e) = write!(out, "<dt>{}</dt><dd>{}</dd>", escaped(path), escaped(value)) {
        log::error!("a text takes no more: {e}");
    }
}
