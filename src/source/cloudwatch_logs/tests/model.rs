//! A model of the service: log groups whose events become visible at times of their own, answered page by page.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;

/// An event of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModelEvent {
    pub(super) id: u64,
    pub(super) stream: u8,
    /// When a reader can see it, in milliseconds since 1970.
    pub(super) visible: i64,
}

/// The events of one log group, by their time.
#[derive(Clone, Debug, Default)]
pub(super) struct ModelGroup {
    pub(super) events: BTreeMap<i64, Vec<ModelEvent>>,
    pub(super) created: i64,
}

/// A page of events, and where the next one begins.
pub(super) struct ModelPage {
    pub(super) events: Vec<(i64, ModelEvent)>,
    pub(super) token: Option<String>,
}

impl ModelGroup {
    pub(super) fn put(&mut self, time: i64, event: ModelEvent) {
        let of_time = self.events.entry(time).or_default();
        let at = of_time.partition_point(|before| (before.visible, before.id) < (event.visible, event.id));
        of_time.insert(at, event);
    }

    /// The events of a span that are visible at `now`, as the service gives them: oldest first, from the place that the token tells.
    pub(super) fn page(&self, from: i64, to: i64, token: Option<&str>, now: i64, most: usize) -> ModelPage {
        let (at, skip) = token
            .and_then(|token| token.split_once('+'))
            .map_or((from, 0), |(at, skip)| (at.parse().unwrap(), skip.parse().unwrap()));
        let mut events: Vec<(i64, ModelEvent)> = Vec::new();
        for (time, of_time) in self.events.range(at..=to.max(at)) {
            if *time > to {
                break;
            }
            let skipped = if *time == at { skip } else { 0 };
            let visible = of_time.iter().filter(|event| event.visible <= now);
            for (number, event) in visible.enumerate().skip(skipped) {
                if events.len() == most {
                    return ModelPage { events, token: Some(format!("{time}+{number}")) };
                }
                events.push((*time, *event));
            }
        }
        ModelPage { events, token: None }
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.events.values().flatten().map(|event| event.id).collect()
    }
}

impl ModelPage {
    /// As the service writes it.
    pub(super) fn json(&self) -> Bytes {
        let mut text = String::from(r#"{"events":["#);
        for (number, (time, event)) in self.events.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            let ModelEvent { id, stream, visible } = event;
            write!(
                text,
                r#"{comma}{{"eventId":"{id:056}","ingestionTime":{visible},"logStreamName":"stream {stream}","message":"event \"{id}\"","timestamp":{time}}}"#
            )
            .unwrap();
        }
        text.push_str(r#"],"searchedLogStreams":[]"#);
        if let Some(token) = &self.token {
            write!(text, r#","nextToken":"{token}""#).unwrap();
        }
        text.push('}');
        text.into()
    }
}
