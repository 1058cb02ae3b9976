//! `poll_oneoff`: waits for moments, and asks files and streams whether they are ready.
//!
//! Here they always are: nobody waits for a file, and the standard streams are memory. So a guest waits only where it asks for
//! moments alone, until the first of them; what it asks together with files is whether the moment has come.

use std::time::Duration;

use runner_core::GuestClocks;

use super::memory::{u16_of, u32_of, u64_of};
use super::table::{Descriptor, Node, may};
use super::types::{ABSTIME, EVENT_BYTES, HANGUP, SUBSCRIPTION_BYTES, clockid, event, eventtype, known, rights};
use super::{Answer, Guest, Refused};
use crate::wasi::errno::{Errno, errno};

/// Subscriptions of one call: `inval` for more. A guest has no more descriptors by default.
const SUBSCRIPTIONS_MAX: u32 = 1_024;

/// One subscription.
struct Asked {
    userdata: u64,
    what: What,
}

enum What {
    /// So many nanoseconds from now.
    Moment(u64),
    Read(u32),
    Write(u32),
}

impl Guest<'_> {
    pub(super) async fn poll_oneoff(&mut self, subscriptions: u32, events: u32, count: u32, out: u32) -> Answer {
        if count == 0 || count > SUBSCRIPTIONS_MAX {
            return Err(Errno::INVAL.into());
        }
        self.memory.check(out, 4)?;
        self.memory.check(events, count * EVENT_BYTES)?;
        let clocks = self.files.clocks.clone();
        let list = self.memory.read(subscriptions, count * SUBSCRIPTION_BYTES)?;
        let asked = list.chunks_exact(SUBSCRIPTION_BYTES as usize).map(|one| Asked::read(one, clocks.as_ref()));
        let asked = asked.collect::<Result<Vec<_>, _>>()?;
        let mut ready = Vec::with_capacity(asked.len());
        for one in &asked {
            ready.push(match one.what {
                What::Moment(0) => Some(event(one.userdata, Errno::SUCCESS, eventtype::CLOCK, 0, 0)),
                What::Moment(_) => None,
                What::Read(fd) => Some(self.readable(one.userdata, fd).await?),
                What::Write(fd) => Some(self.writable(one.userdata, fd)?),
            });
        }
        if ready.iter().all(Option::is_none) {
            let moments = asked.iter().filter_map(|one| match one.what {
                What::Moment(ns) => Some(ns),
                What::Read(_) | What::Write(_) => None,
            });
            let first = moments.min().unwrap_or(0);
            tokio::time::sleep(Duration::from_nanos(first)).await;
            for (ready, one) in ready.iter_mut().zip(&asked) {
                if matches!(one.what, What::Moment(ns) if ns <= first) {
                    *ready = Some(event(one.userdata, Errno::SUCCESS, eventtype::CLOCK, 0, 0));
                }
            }
        }
        let mut told = 0;
        for event in ready.into_iter().flatten() {
            self.memory.put(events + told * EVENT_BYTES, event)?;
            told += 1;
        }
        Ok(self.memory.put(out, told.to_le_bytes())?)
    }

    /// How much can be read at once, and whether that is all that there is.
    async fn readable(&mut self, userdata: u64, fd: u32) -> Result<[u8; EVENT_BYTES as usize], Refused> {
        let Descriptor { node, base, .. } = self.table().get(fd)?;
        may(*base, rights::FD_READ)?;
        let (errno, bytes, flags) = match node {
            // Nobody says how much it is.
            Node::Stdin => (Errno::SUCCESS, 1, 0),
            Node::File(file) => match file.file.stat().await {
                Ok(stat) => match stat.size.saturating_sub(file.position) {
                    0 => (Errno::SUCCESS, 0, HANGUP),
                    bytes => (Errno::SUCCESS, bytes, 0),
                },
                Err(error) => (errno(&error), 0, 0),
            },
            Node::Stdout | Node::Stderr | Node::Directory(_) => return Err(Errno::BADF.into()),
        };
        Ok(event(userdata, errno, eventtype::FD_READ, bytes, flags))
    }

    fn writable(&mut self, userdata: u64, fd: u32) -> Result<[u8; EVENT_BYTES as usize], Refused> {
        let Descriptor { node, base, .. } = self.table().get(fd)?;
        may(*base, rights::FD_WRITE)?;
        match node {
            Node::Stdout | Node::Stderr | Node::File(_) => {
                Ok(event(userdata, Errno::SUCCESS, eventtype::FD_WRITE, 1, 0))
            }
            Node::Stdin | Node::Directory(_) => Err(Errno::BADF.into()),
        }
    }
}

impl Asked {
    /// Reads one of the list. A moment of the guest's clock is told by how long it is until then.
    fn read(one: &[u8], clocks: Option<&GuestClocks>) -> Result<Self, Errno> {
        let what = match one[8] {
            eventtype::CLOCK => {
                let (clock, timeout, flags) = (u32_of(one, 16), u64_of(one, 24), u16_of(one, 40));
                let is_moment = known(flags.into(), ABSTIME)? != 0;
                let now = match (clock, is_moment) {
                    (clockid::REALTIME | clockid::MONOTONIC, false) => 0,
                    (clockid::REALTIME, true) => clocks.ok_or(Errno::NOTSUP)?.wall_ns(),
                    (clockid::MONOTONIC, true) => clocks.ok_or(Errno::NOTSUP)?.monotonic_ns(),
                    _ => return Err(Errno::INVAL),
                };
                What::Moment(timeout.saturating_sub(now))
            }
            eventtype::FD_READ => What::Read(u32_of(one, 16)),
            eventtype::FD_WRITE => What::Write(u32_of(one, 16)),
            _ => return Err(Errno::INVAL),
        };
        Ok(Asked { userdata: u64_of(one, 0), what })
    }
}
