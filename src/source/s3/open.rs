//! Asks for an object until it comes, or it is known that it never will.

use std::time::Duration;

use serde_json::{Value, json};

use super::notification::ObjectName;
use crate::aws::{ApiCall, ApiClient, AwsService, CallError, CallOptions, ObjectBody, ObjectRequest};
use crate::source::holds::HoldPatience;

/// How objects are asked for.
#[derive(Debug)]
pub(super) struct ObjectClient {
    pub(super) client: ApiClient,
    pub(super) requester_pays: bool,
    /// Something has to come within this time.
    pub(super) patience: Duration,
}

/// Why an object does not come.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum NoObject {
    /// It is gone.
    Vanished,
    /// It is in an archive: another message says when it is back.
    Archived,
    /// It has another content than the one that was begun.
    Changed,
    /// Nothing of it is left from there on.
    AtEnd,
    /// It can never be read, for this reason.
    Unreadable(String),
}

/// Which key, version and content is asked for.
#[derive(Clone, Debug)]
pub(super) struct ObjectForm<'a> {
    name: &'a ObjectName,
    is_as_written: bool,
    uses_version: bool,
    /// Any content will do.
    is_any: bool,
    /// What a version was asked for that could not be had as it is.
    wanted_for: Option<NoVersion>,
}

/// What follows where the version cannot be had either.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum NoVersion {
    /// There is another content now: that one.
    TakeCurrent,
    /// There is nothing now.
    IsGone,
}

/// What a refusal leads to.
enum NextTry {
    /// At once, in the form as it is by now.
    AtOnce,
    Never(NoObject),
    /// After a pause.
    Pause,
    /// After somebody has acted.
    Hold(String),
    /// After it is known what a denial means.
    Denied,
}

impl<'a> ObjectForm<'a> {
    pub(super) const fn new(name: &'a ObjectName) -> Self {
        Self { name, is_as_written: false, uses_version: false, is_any: false, wanted_for: None }
    }

    /// From now on whatever content is there is asked for.
    pub(super) const fn take_any(&mut self) {
        (self.is_any, self.uses_version, self.wanted_for) = (true, false, None);
    }

    fn key(&self) -> &'a str {
        match &self.name.written {
            Some(written) if self.is_as_written => written,
            Some(_) | None => &self.name.key,
        }
    }

    fn version(&self) -> Option<&'a str> {
        self.name.version.as_deref().filter(|_| self.uses_version)
    }

    fn etag(&self) -> Option<&'a str> {
        self.name.etag.as_deref().filter(|_| !self.is_any && !self.uses_version)
    }

    /// What to do about a refusal; `is_begun`: some of the object was read.
    fn after(&mut self, refused: &CallError, is_begun: bool) -> NextTry {
        let CallError::Answered { code, message } = refused else {
            return if refused.may_pass() { NextTry::Pause } else { NextTry::Hold(refused.to_string()) };
        };
        match code.as_str() {
            "PreconditionFailed" | "412" if is_begun => NextTry::Never(NoObject::Changed),
            "PreconditionFailed" | "412" => self.try_version(NoVersion::TakeCurrent),
            "NoSuchKey" | "NoSuchVersion" | "NoSuchBucket" | "MethodNotAllowed" | "404" | "405" => {
                self.missing()
            }
            "InvalidObjectState" => NextTry::Never(NoObject::Archived),
            "InvalidRange" | "416" => NextTry::Never(NoObject::AtEnd),
            "InvalidRequest" | "InvalidArgument" if message.contains("Server Side Encryption") => {
                let why = "it is encrypted with a key that only its writer has (SSE-C)";
                NextTry::Never(NoObject::Unreadable(why.to_owned()))
            }
            "AccessDenied" | "AllAccessDisabled" | "403" if self.uses_version => self.without_version(),
            "AccessDenied" | "AllAccessDisabled" | "403" => NextTry::Denied,
            _ if refused.may_pass() => NextTry::Pause,
            _ => NextTry::Hold(format!(
                "s3:GetObject of `s3://{}/{}`: {refused}",
                self.name.bucket,
                self.key()
            )),
        }
    }

    fn missing(&mut self) -> NextTry {
        if self.uses_version {
            return self.without_version();
        }
        if self.name.written.is_some() && !self.is_as_written {
            self.is_as_written = true;
            return NextTry::AtOnce;
        }
        self.is_as_written = false;
        self.try_version(NoVersion::IsGone)
    }

    fn try_version(&mut self, otherwise: NoVersion) -> NextTry {
        if self.wanted_for.is_none() && self.name.version.is_some() {
            (self.uses_version, self.wanted_for) = (true, Some(otherwise));
            return NextTry::AtOnce;
        }
        self.give_up_version(otherwise)
    }

    fn without_version(&mut self) -> NextTry {
        self.uses_version = false;
        self.give_up_version(self.wanted_for.unwrap_or(NoVersion::IsGone))
    }

    fn give_up_version(&mut self, otherwise: NoVersion) -> NextTry {
        match otherwise {
            NoVersion::TakeCurrent if !self.is_any => {
                self.is_any = true;
                NextTry::AtOnce
            }
            NoVersion::TakeCurrent | NoVersion::IsGone => NextTry::Never(NoObject::Vanished),
        }
    }
}

impl ObjectClient {
    /// The object from this byte on; with `pinned`, only the content of this `ETag`. What stands in the way is waited for.
    pub(super) async fn open(
        &self,
        form: &mut ObjectForm<'_>,
        from: u64,
        pinned: Option<&str>,
        patience: &mut HoldPatience,
    ) -> Result<ObjectBody, NoObject> {
        loop {
            let request = ObjectRequest {
                bucket: &form.name.bucket,
                key: form.key(),
                version: form.version(),
                from,
                if_match: pinned.or_else(|| form.etag()),
                requester_pays: self.requester_pays,
            };
            let refused = match self.client.get_object(&request, self.patience).await {
                Ok(body) => {
                    patience.works();
                    return Ok(body);
                }
                Err(refused) => refused,
            };
            let mut next = form.after(&refused, pinned.is_some());
            if matches!(next, NextTry::Denied) {
                next = self.after_denial(form, &refused).await;
            }
            match next {
                NextTry::AtOnce | NextTry::Denied => {}
                NextTry::Never(why) => return Err(why),
                NextTry::Pause => patience.pause(&refused.to_string()).await,
                NextTry::Hold(why) => patience.hold(&why).await,
            }
        }
    }

    /// Without `s3:ListBucket` S3 denies what is not there. Whoever may list is told the truth.
    async fn after_denial(&self, form: &ObjectForm<'_>, refused: &CallError) -> NextTry {
        let (bucket, key) = (&form.name.bucket, form.key());
        let object = format!("`s3://{bucket}/{key}`");
        let mut input = json!({ "Bucket": bucket, "Prefix": key, "MaxKeys": 1 });
        if self.requester_pays
            && let Some(members) = input.as_object_mut()
        {
            members.insert("RequestPayer".to_owned(), "requester".into());
        }
        let call = ApiCall::new(AwsService::S3, "ListObjectsV2", input);
        match self.client.call_with(&call, CallOptions::once(self.patience)).await {
            Ok(listed) if !names(&listed, key) => NextTry::Never(NoObject::Vanished),
            Ok(_) => NextTry::Hold(format!(
                "`s3:GetObject` on {object} is denied: {refused}; allow it, and `kms:Decrypt` if a key of KMS encrypts the object, in the policies of who reads and of the bucket"
            )),
            Err(other) if other.may_pass() => NextTry::Pause,
            Err(_) => NextTry::Hold(format!(
                "`s3:GetObject` on {object} is denied, or it does not exist: {refused}; correct `bucket_owner` if it is set and another; allow `s3:GetObject` on its objects, and `s3:ListBucket` on the bucket itself (`arn:aws:s3:::{bucket}`, without `/*`) to tell one from the other"
            )),
        }
    }
}

/// Whether a list has this key first.
fn names(listed: &Value, key: &str) -> bool {
    let first = listed.pointer("/Contents/0/Key").and_then(Value::as_str).unwrap_or_default();
    percent_encoding::percent_decode_str(&first.replace('+', " ")).decode_utf8_lossy() == key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(version: bool, written: bool) -> ObjectName {
        ObjectName {
            bucket: "b".into(),
            key: "a b".into(),
            written: written.then(|| "a+b".into()),
            etag: Some("e".into()),
            version: version.then(|| "v".into()),
            size: None,
        }
    }

    /// What is asked for after each of these refusals, and what the last one leads to.
    #[track_caller]
    fn check(name: &ObjectName, refusals: &[&str], asked: &[&str], end: &str) {
        let (mut form, mut seen, mut last) = (ObjectForm::new(name), Vec::new(), "more");
        for code in refusals {
            let version = form.version().map_or_else(String::new, |version| format!(" version {version}"));
            let etag = form.etag().map_or_else(String::new, |etag| format!(" etag {etag}"));
            seen.push(format!("{}{version}{etag}", form.key()));
            let refused = CallError::Answered { code: (*code).to_owned(), message: String::new() };
            last = match form.after(&refused, false) {
                NextTry::AtOnce => "more",
                NextTry::Never(NoObject::Vanished) => "vanished",
                NextTry::Never(NoObject::Archived) => "archived",
                NextTry::Never(_) => "never",
                NextTry::Pause => "pause",
                NextTry::Hold(_) => "hold",
                NextTry::Denied => "denied",
            };
        }
        assert_eq!(
            (seen.as_slice(), last),
            (asked.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice(), end)
        );
    }

    #[test]
    fn a_refusal_leads_to_the_next_form_or_to_an_end() {
        let plain = name(false, false);
        check(&plain, &["NoSuchKey"], &["a b etag e"], "vanished");
        check(&plain, &["NoSuchBucket"], &["a b etag e"], "vanished");
        check(&plain, &["InvalidObjectState"], &["a b etag e"], "archived");
        check(&plain, &["PreconditionFailed", "NoSuchKey"], &["a b etag e", "a b"], "vanished");
        check(&plain, &["AccessDenied"], &["a b etag e"], "denied");
        check(&plain, &["SlowDown"], &["a b etag e"], "pause");
        check(&plain, &["InvalidAccessKeyId"], &["a b etag e"], "hold");
        check(&name(false, true), &["NoSuchKey", "404"], &["a b etag e", "a+b etag e"], "vanished");
        let both = name(true, true);
        let asked = ["a b etag e", "a+b etag e", "a b version v"];
        check(&both, &["NoSuchKey", "NoSuchKey", "NoSuchVersion"], &asked, "vanished");
        check(&both, &["NoSuchKey", "NoSuchKey", "AccessDenied"], &asked, "vanished");
        let versioned = name(true, false);
        let asked = ["a b etag e", "a b version v", "a b"];
        check(&versioned, &["412", "AccessDenied", "NoSuchKey"], &asked, "vanished");
        check(&versioned, &["412", "NoSuchVersion", "503"], &asked, "pause");
    }
}
