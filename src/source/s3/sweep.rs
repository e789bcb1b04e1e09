//! What of a bucket is listed: the days of every account and region that it has, page by page.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::open::ObjectClient;
use crate::aws::{ApiCall, AwsService, CallOptions};
use crate::config::{ListingFeed, ObjectLayout};
use crate::event::Timestamp;
use crate::source::holds::{HoldPatience, Holds};

/// Milliseconds of a day.
pub(super) const DAY: i64 = 86_400_000;

/// Folders above the dates are no deeper than this.
const DEEPEST: usize = 10;

/// Of so many sweeps one lists yesterday.
const YESTERDAY: u64 = 5;

/// In the last hour of a day the next one is listed too.
const AHEAD_OF_US: i64 = DAY / 24;

/// More days than this are looked for in the bucket; of fewer the names are known.
const FEW_DAYS: i64 = 60;

/// An object of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ListedObject {
    pub(super) key: Box<str>,
    pub(super) etag: Box<str>,
    pub(super) size: Option<u64>,
    /// When it changed last, in milliseconds since 1970.
    pub(super) modified: i64,
    /// It has to be restored before it can be read.
    pub(super) is_archived: bool,
}

/// A page of a list.
#[derive(Debug, Default)]
pub(super) struct ListedPage {
    pub(super) objects: Vec<ListedObject>,
    pub(super) folders: Vec<String>,
    pub(super) next: Option<String>,
}

/// Lists a bucket.
pub(super) struct BucketLister {
    pub(super) client: Arc<ObjectClient>,
    pub(super) feed: ListingFeed,
    pub(super) holds: Arc<Holds>,
}

impl BucketLister {
    /// A page of what is below `prefix`: all of it, or what is next to it.
    pub(super) async fn page(&self, prefix: &str, is_flat: bool, after: Option<&str>) -> ListedPage {
        let mut input = Map::new();
        let mut set = |name: &str, value: &str| drop(input.insert(name.to_owned(), value.into()));
        set("Bucket", &self.feed.bucket);
        set("Prefix", prefix);
        if !is_flat {
            set("Delimiter", "/");
        }
        if let Some(after) = after {
            set("ContinuationToken", after);
        }
        if self.client.requester_pays {
            set("RequestPayer", "requester");
        }
        let call = ApiCall::new(AwsService::S3, "ListObjectsV2", Value::Object(input));
        let mut patience = self.holds.patience();
        loop {
            match self.client.client.call_with(&call, CallOptions::once(self.client.patience)).await {
                Ok(answer) => return read(&answer),
                Err(refused) => self.wait_after(&refused, &mut patience).await,
            }
        }
    }

    async fn wait_after(&self, refused: &crate::aws::CallError, patience: &mut HoldPatience) {
        let bucket = &self.feed.bucket;
        let reason = format!("s3:ListObjectsV2 of `{bucket}`: {refused}");
        match refused.code() {
            Some("AccessDenied" | "AllAccessDisabled" | "403") => {
                let needed = format!(
                    "allow `s3:ListBucket` on the bucket itself (`arn:aws:s3:::{bucket}`, without `/*`)"
                );
                patience.hold(&format!("{reason}; {needed}")).await;
            }
            _ if refused.may_pass() => patience.pause(&reason).await,
            _ => patience.hold(&reason).await,
        }
    }

    /// What is below a folder and next to it.
    async fn folders(&self, prefix: &str) -> Vec<String> {
        let (mut folders, mut after) = (Vec::new(), None);
        loop {
            let page = self.page(prefix, false, after.as_deref()).await;
            folders.extend(page.folders);
            after = page.next;
            if after.is_none() {
                return folders;
            }
        }
    }

    /// The folders that have years in them: one for each account and region.
    pub(super) async fn roots(&self) -> Vec<String> {
        let prefix = self.feed.prefix.clone();
        match self.feed.layout {
            ObjectLayout::Flat | ObjectLayout::Firehose => return vec![prefix],
            ObjectLayout::Cloudtrail | ObjectLayout::Alb | ObjectLayout::VpcFlow => {}
        }
        let (mut roots, mut open) = (Vec::new(), vec![(prefix, 0)]);
        while let Some((prefix, depth)) = open.pop() {
            let folders = self.folders(&prefix).await;
            if folders.iter().any(|folder| last_part(folder).is_some_and(|part| is_number(part, 4))) {
                if is_of(self.feed.layout, &prefix) {
                    roots.push(prefix);
                }
            } else if depth < DEEPEST {
                open.extend(folders.into_iter().map(|folder| (folder, depth + 1)));
            }
        }
        roots.sort();
        roots
    }

    /// The days from `first` to `last` that are to be listed below a root, oldest first.
    pub(super) async fn days(&self, root: &str, first: i64, last: i64) -> Vec<i64> {
        if last.saturating_sub(first) <= FEW_DAYS {
            return (first..=last).collect();
        }
        let mut days = Vec::new();
        for year in self.folders(root).await {
            for month in self.folders(&year).await {
                let found = self.folders(&month).await;
                days.extend(found.iter().filter_map(|folder| day_of(root, folder)));
            }
        }
        days.retain(|day| (first..=last).contains(day));
        days.sort_unstable();
        days
    }
}

/// The first and the last day that a sweep lists, from `floor` on.
pub(super) fn days_of(number: u64, is_whole: bool, now: i64, floor: i64) -> (i64, i64) {
    let today = now.div_euclid(DAY);
    let first = match number {
        _ if is_whole => floor,
        number if number.is_multiple_of(YESTERDAY) => today.saturating_sub(1).max(floor),
        _ => today.max(floor),
    };
    // A clock of somebody else's may be ahead.
    let is_late = is_whole || now.rem_euclid(DAY) >= DAY - AHEAD_OF_US;
    (first, if is_late { today.saturating_add(1) } else { today })
}

/// The folder of a day below a root.
pub(super) fn folder_of(root: &str, day: i64) -> String {
    let date = Timestamp(day.saturating_mul(DAY)).to_rfc3339();
    format!("{root}{}/", date.get(..10).unwrap_or_default().replace('-', "/"))
}

/// The day that a folder below a root is of.
fn day_of(root: &str, folder: &str) -> Option<i64> {
    let date = folder.strip_prefix(root)?.trim_end_matches('/').replace('/', "-");
    Some(Timestamp::from_any_rfc3339(&format!("{date}T00:00:00Z"))?.0.div_euclid(DAY))
}

/// Whether a root has the objects of a layout.
fn is_of(layout: ObjectLayout, root: &str) -> bool {
    let has = |is_it: fn(&str) -> bool| root.split('/').any(is_it);
    match layout {
        ObjectLayout::Cloudtrail => has(|part| part.starts_with("CloudTrail") && part != "CloudTrail-Digest"),
        ObjectLayout::Alb => has(|part| part == "elasticloadbalancing"),
        ObjectLayout::VpcFlow => has(|part| part == "vpcflowlogs"),
        ObjectLayout::Firehose | ObjectLayout::Flat => true,
    }
}

fn last_part(folder: &str) -> Option<&str> {
    folder.trim_end_matches('/').rsplit('/').next()
}

fn is_number(part: &str, len: usize) -> bool {
    part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit())
}

fn read(answer: &Value) -> ListedPage {
    let list = |name: &str| answer.get(name).and_then(Value::as_array).into_iter().flatten();
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let object = |listed: &Value| {
        let class = text(listed, "StorageClass").unwrap_or_default();
        Some(ListedObject {
            key: decoded(&text(listed, "Key")?).into(),
            etag: text(listed, "ETag")?.trim_matches('"').into(),
            size: text(listed, "Size").and_then(|size| size.parse().ok()),
            modified: text(listed, "LastModified")
                .and_then(|time| Timestamp::from_any_rfc3339(&time))
                .map_or(0, |time| time.0),
            is_archived: matches!(class.as_str(), "GLACIER" | "DEEP_ARCHIVE"),
        })
    };
    let is_truncated = text(answer, "IsTruncated").as_deref() == Some("true");
    ListedPage {
        objects: list("Contents").filter_map(object).collect(),
        folders: list("CommonPrefixes")
            .filter_map(|folder| Some(decoded(&text(folder, "Prefix")?)))
            .collect(),
        next: text(answer, "NextContinuationToken").filter(|_| is_truncated),
    }
}

/// A key of a list, which is written as forms are.
fn decoded(written: &str) -> String {
    percent_encoding::percent_decode_str(&written.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_sweep_lists_today_and_the_days_before_more_seldom() {
        let noon = 100 * DAY + DAY / 2;
        let check = |number, is_whole, now, floor, days| {
            assert_eq!(days_of(number, is_whole, now, floor), days, "{number} at {now}");
        };
        check(0, true, noon, 97, (97, 101));
        check(1, false, noon, 97, (100, 100));
        check(5, false, noon, 97, (99, 100));
        check(5, false, noon, 100, (100, 100));
        check(1, false, 101 * DAY - 1, 97, (100, 101));
        check(1, false, 101 * DAY, 97, (101, 101));
    }

    #[test]
    fn a_day_has_its_folder_and_a_folder_its_day() {
        let root = "AWSLogs/1/CloudTrail/us-east-1/";
        assert_eq!(folder_of(root, 20_787), "AWSLogs/1/CloudTrail/us-east-1/2026/11/30/");
        assert_eq!(day_of(root, "AWSLogs/1/CloudTrail/us-east-1/2026/11/30/"), Some(20_787));
        assert_eq!(day_of(root, "AWSLogs/1/CloudTrail/us-east-1/2026/11/x/"), None);
    }

    #[test]
    fn a_layout_has_its_roots_and_no_others() {
        use ObjectLayout::{Alb, Cloudtrail, Flat, VpcFlow};
        let check = |layout, root: &str, expected| assert_eq!(is_of(layout, root), expected, "{root}");
        check(Cloudtrail, "AWSLogs/o-1/1/CloudTrail/us-east-1/", true);
        check(Cloudtrail, "AWSLogs/1/CloudTrail-Insight/us-east-1/", true);
        check(Cloudtrail, "AWSLogs/1/CloudTrail-Digest/us-east-1/", false);
        check(Cloudtrail, "AWSLogs/1/vpcflowlogs/us-east-1/", false);
        check(VpcFlow, "AWSLogs/1/vpcflowlogs/us-east-1/", true);
        check(Alb, "p/AWSLogs/1/elasticloadbalancing/us-east-1/", true);
        check(Flat, "", true);
    }

    #[test]
    fn a_page_is_read_as_s3_writes_it() {
        let page = read(&json!({ "IsTruncated": "true", "NextContinuationToken": "t",
            "Contents": [{ "Key": "a+b%2Fc%2B", "ETag": "\"e\"", "Size": "9", "LastModified": "2026-11-30T00:00:01.000Z", "StorageClass": "GLACIER" }],
            "CommonPrefixes": [{ "Prefix": "x+y/" }] }));
        let object = ListedObject {
            key: "a b/c+".into(),
            etag: "e".into(),
            size: Some(9),
            modified: 20_787 * DAY + 1_000,
            is_archived: true,
        };
        assert_eq!(
            (page.objects, page.folders, page.next.as_deref()),
            (vec![object], vec!["x y/".to_owned()], Some("t"))
        );
        assert!(read(&json!({})).next.is_none());
    }
}
