//! The torn end of a journal.
//!
//! A power cut in the middle of a commit leaves some pages of it on the disk and others not. fjall cuts such a batch where it
//! breaks off, but where a page is missing inside a value, it finds the checksum wrong and refuses to open. The batch was not
//! acknowledged, so it may go; what was acknowledged may not. The journal is therefore cut only if
//!
//! - it is the newest one: those before it were synced when they were closed;
//! - the first batch that is not whole has a page that never reached the disk: it reads as zeros, and fjall never writes such a
//!   page, because it compresses values of a page's size; and
//! - no whole batch follows: a sync covers all that was written before it.
//!
//! What is cut off is kept beside the journal.

use crate::StoreError;
use bytes::Buf;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// What is missing after a power cut is missing by pages.
const PAGE: usize = 4096;
/// Stands at the end of each batch.
const TRAILER: [u8; 4] = *b"FJL\x03";

/// Why a journal is not cut.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("all of it is whole, so the damage is in an older one")]
    Whole,
    #[error("the batch at byte {0} is damaged although none of its pages is missing")]
    NothingMissing(usize),
    #[error("the batch at byte {0} is damaged, and a whole one follows at byte {1}: acknowledged records may be lost")]
    Followed(usize, usize),
}

/// Cuts the newest journal in front of a batch that a power cut tore.
pub(crate) fn cut_torn_end(dir: &Path) -> Result<(), StoreError> {
    let io = |error: std::io::Error| StoreError::open(dir, error.into());
    let lock = OpenOptions::new().write(true).open(dir.join("lock")).map_err(io)?;
    // fjall's own lock, released with the file.
    lock.try_lock().map_err(|_| StoreError::InUse(dir.to_owned()))?;
    let damaged = |reason: String| StoreError::Damaged { path: dir.to_owned(), reason };
    let path = newest(dir).map_err(io)?.ok_or_else(|| damaged("there is no journal".to_owned()))?;
    let journal = std::fs::read(&path).map_err(io)?;
    let cut = torn(&journal).map_err(|refused| damaged(format!("{}: {refused}", path.display())))?;
    let kept = path.with_extension(format!("jnl.torn-at-{cut}"));
    std::fs::write(&kept, &journal[cut..written(&journal)]).map_err(io)?;
    File::open(&kept).and_then(|file| file.sync_all()).map_err(io)?;
    let file = OpenOptions::new().write(true).open(&path).map_err(io)?;
    file.set_len(cut as u64).and_then(|()| file.sync_all()).map_err(io)?;
    tracing::warn!(
        target: "bus",
        journal = %path.display(), at = cut, kept = %kept.display(),
        "the last commit did not reach the disk and was not acknowledged; the journal was cut before it"
    );
    Ok(())
}

/// The journal with the highest number.
fn newest(dir: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut newest: Option<(u64, PathBuf)> = None;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_suffix(".jnl")?.parse().ok());
        if let Some(number) = number
            && newest.as_ref().is_none_or(|(other, _)| *other < number)
        {
            newest = Some((number, path));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Where to cut a journal.
fn torn(journal: &[u8]) -> Result<usize, Refused> {
    let mut cut = 0;
    while let Some(length) = whole_batch(&journal[cut..]) {
        cut += length;
    }
    let end = written(journal);
    if cut >= end {
        return Err(Refused::Whole);
    }
    let begins = |at: &usize| journal[*at] == START && whole_batch(&journal[*at..]).is_some();
    if let Some(next) = (cut + 1..end).find(begins) {
        return Err(Refused::Followed(cut, next));
    }
    let pages = journal[..end].chunks_exact(PAGE).skip(cut.div_ceil(PAGE));
    let missing = pages.filter(|page| page.iter().all(|byte| *byte == 0)).count();
    if missing == 0 { Err(Refused::NothingMissing(cut)) } else { Ok(cut) }
}

/// Where the zeros begin that fjall lays out ahead.
fn written(journal: &[u8]) -> usize {
    journal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;

/// The length of the batch that begins here, if all of it is there: a start with the number of its items, the items, and an
/// end with their checksum.
fn whole_batch(journal: &[u8]) -> Option<usize> {
    let mut rest = journal;
    if rest.try_get_u8().ok()? != START {
        return None;
    }
    let items = rest.try_get_u32_le().ok()?;
    let _number = rest.try_get_u64_le().ok()?;
    let begin = journal.len() - rest.len();
    for _ in 0..items {
        skip_item(&mut rest)?;
    }
    let end = journal.len() - rest.len();
    if rest.try_get_u8().ok()? != END {
        return None;
    }
    let checksum = rest.try_get_u64_le().ok()?;
    let whole = rest.starts_with(&TRAILER) && xxh3_64(&journal[begin..end]) == checksum;
    whole.then(|| journal.len() - rest.len() + TRAILER.len())
}

fn skip_item(rest: &mut &[u8]) -> Option<()> {
    match rest.try_get_u8().ok()? {
        ITEM => {
            let _kind_and_compression = rest.try_get_u16().ok()?;
            let _keyspace = rest.try_get_u64_le().ok()?;
            let key = rest.try_get_u16_le().ok()?;
            let _uncompressed = rest.try_get_u32_le().ok()?;
            let value = rest.try_get_u32_le().ok()?;
            *rest = rest.get(usize::from(key)..)?.get(value as usize..)?;
        }
        CLEAR => drop(rest.try_get_u64_le().ok()?),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch of one item with a key of one byte.
    fn batch(value: &[u8]) -> Vec<u8> {
        let length = (value.len() as u32).to_le_bytes();
        let item = [&[ITEM, 0, 0][..], &[7; 8], &[1, 0], &length, &length, b"k", value].concat();
        [&[START, 1, 0, 0, 0][..], &[9; 8], &item, &[END], &xxh3_64(&item).to_le_bytes(), &TRAILER].concat()
    }

    fn value() -> Vec<u8> {
        crate::bench::noise(5 * PAGE)
    }

    fn journal(batches: &[Vec<u8>]) -> Vec<u8> {
        [batches.concat(), vec![0; 3 * PAGE]].concat()
    }

    #[test]
    fn a_missing_page_in_the_last_batch_is_cut_off() {
        let mut journal = journal(&[batch(b"first"), batch(&value()), batch(&value())]);
        let cut = batch(b"first").len() + batch(&value()).len();
        assert_eq!(torn(&journal), Err(Refused::Whole));
        let page = (cut / PAGE + 2) * PAGE;
        journal[page..page + PAGE].fill(0);
        assert_eq!(torn(&journal), Ok(cut));
        journal.truncate(written(&journal));
        assert_eq!(torn(&journal), Ok(cut), "also without zeros laid out ahead");
    }

    #[test]
    fn what_may_be_acknowledged_stays() {
        let first = batch(&value());
        let mut followed = journal(&[first.clone(), batch(&value()), batch(b"last")]);
        let page = (first.len() / PAGE + 2) * PAGE;
        followed[page..page + PAGE].fill(0);
        assert_eq!(torn(&followed), Err(Refused::Followed(first.len(), 2 * first.len())));
        let mut flipped = journal(&[first.clone(), batch(&value())]);
        flipped[first.len() + 2 * PAGE] ^= 1;
        assert_eq!(torn(&flipped), Err(Refused::NothingMissing(first.len())));
    }

    #[test]
    fn anything_reads_without_a_panic() {
        let whole = journal(&[batch(b"first"), batch(&value())]);
        for cut in (0..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[cut] ^= 0xff;
            let _ = torn(&damaged[..cut]);
            let _ = torn(&damaged);
        }
    }
}
