//! Objects that are being read or were read lately: what is announced twice is read once.
//!
//! A content is known by its key and `ETag`, whatever version it is: some announcements name none.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::notification::ObjectName;
use crate::sync::Lock;

/// Most objects that are remembered.
const MOST: usize = 10_000;

/// How long an object is remembered that is done.
const LONGEST: Duration = Duration::from_mins(10);

/// The memory. What it cannot tell apart it takes for two: without an `ETag` nothing is remembered.
#[derive(Debug, Default)]
pub(super) struct SeenObjects {
    hasher: RandomState,
    /// The lock covers a look or a change.
    seen: Lock<SeenTable>,
}

#[derive(Debug, Default)]
struct SeenTable {
    objects: HashMap<u64, SeenObject>,
    /// Those that are done, in order.
    done: VecDeque<(u64, Instant)>,
}

#[derive(Debug)]
struct SeenObject {
    name: ObjectName,
    is_done: watch::Sender<bool>,
}

/// What is to be done about an object.
#[derive(Debug)]
pub(super) enum Turn {
    /// It is to be read, and its end to be told by this.
    Read(Reading),
    /// It is done already.
    Done,
    /// Somebody reads it: an end that is an error says that it was not done.
    Wait(watch::Receiver<bool>),
}

/// The right to read an object. Dropped, it lets another one read.
#[derive(Debug)]
pub(super) struct Reading {
    /// None: nobody would know the object again.
    of: Option<(Arc<SeenObjects>, u64)>,
}

impl SeenObjects {
    /// Whose turn it is.
    pub(super) fn turn(self: &Arc<Self>, name: &ObjectName) -> Turn {
        let (Some(etag), now) = (&name.etag, Instant::now()) else { return Turn::Read(Reading { of: None }) };
        let hash = self.hasher.hash_one((&name.bucket, &name.key, etag));
        let mut seen = self.seen.lock();
        seen.forget(now);
        if let Some(object) = seen.objects.get(&hash) {
            let is_same = (&object.name.bucket, &object.name.key, &object.name.etag)
                == (&name.bucket, &name.key, &name.etag);
            return match *object.is_done.borrow() {
                _ if !is_same => Turn::Read(Reading { of: None }),
                true => Turn::Done,
                false => Turn::Wait(object.is_done.subscribe()),
            };
        }
        let object = SeenObject { name: name.clone(), is_done: watch::Sender::new(false) };
        seen.objects.insert(hash, object);
        Turn::Read(Reading { of: Some((Arc::clone(self), hash)) })
    }
}

impl SeenTable {
    fn forget(&mut self, now: Instant) {
        while let Some((hash, since)) = self.done.front().copied() {
            if self.done.len() <= MOST && now.duration_since(since) < LONGEST {
                break;
            }
            self.done.pop_front();
            self.objects.remove(&hash);
        }
    }
}

impl Reading {
    /// The object is done.
    pub(super) fn done(mut self) {
        let Some((seen, hash)) = self.of.take() else { return };
        let mut seen = seen.seen.lock();
        if let Some(object) = seen.objects.get(&hash) {
            object.is_done.send_replace(true);
            seen.done.push_back((hash, Instant::now()));
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some((seen, hash)) = self.of.take() {
            seen.seen.lock().objects.remove(&hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(key: &str, etag: Option<&str>) -> ObjectName {
        ObjectName { key: key.into(), etag: etag.map(Box::from), ..ObjectName::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_is_read_once_in_a_while_unless_its_reader_fails() {
        let seen = Arc::<SeenObjects>::default();
        let a = name("a", Some("1"));
        let Turn::Read(reading) = seen.turn(&a) else { panic!("the first reads") };
        let Turn::Wait(mut other) = seen.turn(&a) else { panic!("another waits") };
        assert!(
            matches!(seen.turn(&name("a", Some("2"))), Turn::Read(_)),
            "another content is another object"
        );
        drop(reading);
        assert!(other.wait_for(|done| *done).await.is_err(), "the reader failed");
        let Turn::Read(reading) = seen.turn(&a) else { panic!("so it is read again") };
        let Turn::Wait(mut other) = seen.turn(&a) else { panic!("another waits") };
        reading.done();
        assert!(other.wait_for(|done| *done).await.is_ok());
        assert!(matches!(seen.turn(&a), Turn::Done));
        tokio::time::advance(LONGEST).await;
        assert!(matches!(seen.turn(&a), Turn::Read(_)), "it is forgotten");
        let unknown = name("b", None);
        let first = seen.turn(&unknown);
        assert!(matches!((&first, seen.turn(&unknown)), (Turn::Read(_), Turn::Read(_))));
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let seen = Arc::<SeenObjects>::default();
        for number in 0..2 * MOST {
            let Turn::Read(reading) = seen.turn(&name(&number.to_string(), Some("e"))) else { panic!() };
            reading.done();
        }
        assert!(seen.seen.lock().objects.len() <= MOST + 1);
    }
}
