//! The status page: what a person wants to see first. It needs no script and loads nothing.

mod flow;
mod tables;
mod text;

use self::flow::float;
use self::text::{StateLevel, each, escape, mark};
use crate::overview::{Overview, words};

const STYLE: &str = include_str!("style.css");

pub(super) fn html(overview: &Overview) -> String {
    let state = match overview.issues.len() {
        0 => mark(StateLevel::Good, "ready"),
        1 => mark(StateLevel::Bad, "1 issue"),
        issues => mark(StateLevel::Bad, &format!("{issues} issues")),
    };
    let title = if overview.ready { "ready" } else { "needs attention" };
    let (host, version, revision) =
        (escape(&overview.host), escape(&overview.version), escape(&overview.revision));
    let memory = format!(
        "{} of {}",
        words::size(float(overview.memory_bytes)),
        words::size(float(overview.memory_limit_bytes))
    );
    let facts = [
        ("up for", overview.age(overview.started)),
        ("configured", format!("{} ago", overview.age(overview.configured))),
        ("memory", memory),
    ];
    let facts: String = each(facts, |(name, value)| format!("<div><dt>{name}<dd>{value}</div>"));
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <meta name=color-scheme content=\"light dark\"><meta http-equiv=refresh content=5>\
         <title>standpipe on {host}: {title}</title><style>{STYLE}</style></head><body>\
         <header><h1>standpipe <small>{version} ({revision}) on {host}</small></h1><p>{state}</p><dl>{facts}</dl></header>\
         <main>{}{}{}{}{}</main>\
         <footer><a href=/status.json>status.json</a> · <a href=/metrics>metrics</a> · <a href=/readyz>readiness</a> · \
         rates over the last {} s; this page loads itself again every 5 s</footer></body></html>\n",
        issues(overview),
        notes(overview),
        flow::picture(overview),
        tables::destinations(overview),
        tables::sources(overview),
        overview.rate_seconds
    )
}

fn issues(overview: &Overview) -> String {
    if overview.issues.is_empty() {
        return String::new();
    }
    let issues = each(&overview.issues, |issue| format!("<li>{}", escape(issue)));
    let more = match overview.more_issues {
        0 => String::new(),
        more => format!("<p class=more>and {more} more</p>"),
    };
    format!("<section class=issues><h2>Needs attention</h2><ul>{issues}</ul>{more}</section>")
}

fn notes(overview: &Overview) -> String {
    each(&overview.notes, |note| format!("<p class=note>{}</p>", escape(note)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::{DestinationOverview, DestinationState, SinkOverview, SourceOverview};

    #[test]
    fn what_is_wrong_stands_first_with_its_fix_and_nothing_is_loaded() {
        let held = DestinationOverview {
            stream: "logs".to_owned(),
            account: Some("222222222222".to_owned()),
            state: DestinationState::Held,
            reason: Some("access_denied".to_owned()),
            issue: Some("not <allowed>".to_owned()),
            fix: Some("allow firehose:PutRecordBatch".to_owned()),
            ..DestinationOverview::default()
        };
        let overview = Overview {
            issues: vec!["archive (logs): held".to_owned()],
            sources: vec![SourceOverview { name: "app".to_owned(), ..SourceOverview::default() }],
            sinks: vec![SinkOverview {
                name: "archive".to_owned(),
                destinations: vec![held],
                ..SinkOverview::default()
            }],
            ..Overview::default()
        };
        let html = html(&overview);
        for part in [
            "Needs attention",
            "archive (logs): held",
            "held: access_denied",
            "not &lt;allowed&gt;",
            "allow firehose:PutRecordBatch",
            "222222222222",
        ] {
            assert!(html.contains(part), "{part} is not in\n{html}");
        }
        for part in ["<script", "src=", "@import", "url(", "http://", "https://"] {
            assert!(!html.contains(part), "{part} is in\n{html}");
        }
    }
}
