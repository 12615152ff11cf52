//! The disk as a file that Linux can make a block device of: a file system by FUSE with one file.
//!
//! The loop driver turns what a file system does to the block device into writes and syncs of this
//! file: a `REQ_OP_FLUSH` arrives as FSYNC, a `REQ_FUA` as a write and an FSYNC
//! (`drivers/block/loop.c`, `lo_req_flush`; `block/blk-flush.c`).

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyWrite, Request, WriteFlags,
};

use super::disk::Disk;

/// The name of the one file.
pub(crate) const FILE: &str = "disk.img";

const INODE: INodeNo = INodeNo(2);
const MOST_WRITE_BYTES: u32 = 1024 * 1024;
/// What never changes may be remembered.
const FOREVER: Duration = Duration::from_secs(3600);

/// The file system.
#[derive(Debug)]
pub(crate) struct Device(pub(crate) Arc<Disk>);

impl Device {
    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size) = match inode {
            INodeNo::ROOT => (FileType::Directory, 0o700, 0),
            INODE => (FileType::RegularFile, 0o600, self.0.size() as u64),
            _ => return None,
        };
        Some(FileAttr {
            ino: inode,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl Filesystem for Device {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let set = config.set_max_write(MOST_WRITE_BYTES);
        set.map(drop).map_err(|most| io::Error::other(format!("at most {most} bytes a write")))
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.attributes(INODE) {
            Some(file) if parent == INodeNo::ROOT && name == FILE => {
                reply.entry(&FOREVER, &file, Generation(0));
            }
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        match self.attributes(inode) {
            Some(attributes) => reply.attr(&FOREVER, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _request: &Request, _inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        reply.data(&self.0.read(index(offset), index(size.into())));
    }

    fn write(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.0.write(index(offset), data);
        reply.written(u32::try_from(data.len()).expect("a write has a limit"));
    }

    /// A file that is closed: nothing of it is made safe by that.
    fn flush(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn fsync(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        _only_data: bool,
        reply: ReplyEmpty,
    ) {
        self.0.flush();
        reply.ok();
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("the machine has 64 bits")
}
