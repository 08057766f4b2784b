//! The VFS by which SQLite reads and writes the files of simulated disks. It is the default one of the process: what lies
//! on no such disk goes to the one before, so that the product opens its journal as it always does.

#![expect(unsafe_code, reason = "SQLite calls a VFS by pointers to functions")]

use super::lock;
use super::locks::SHARED_LOCKS;
use super::state::{Key, State, is_ours};
use rusqlite::ffi::{self, sqlite3_file, sqlite3_int64, sqlite3_vfs};
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Mutex, OnceLock};

/// What disks call themselves.
const NAME: &CStr = c"kakou-simulated";
/// As the VFS of Unix has it.
const SECTOR: c_int = 4_096;

/// The disks that are mounted.
static DISKS: Mutex<Vec<(PathBuf, Arc<Mutex<State>>)>> = Mutex::new(Vec::new());
/// The VFS that was the default one, as a number: it is there for as long as the process is.
static BEFORE: OnceLock<usize> = OnceLock::new();

/// An open file, as SQLite keeps it.
#[repr(C)]
struct Opened {
    base: sqlite3_file,
    handle: *mut Handle,
}

/// Whose it is.
struct Handle {
    disk: Arc<Mutex<State>>,
    key: Key,
    who: u64,
}

/// Puts a disk in its place.
pub(super) fn mount(folder: &Path, state: &Arc<Mutex<State>>) -> io::Result<()> {
    register()?;
    lock(&DISKS).push((folder.to_path_buf(), state.clone()));
    Ok(())
}

/// Takes it away.
pub(super) fn unmount(folder: &Path) {
    lock(&DISKS).retain(|(mounted, _)| mounted != folder);
}

fn register() -> io::Result<()> {
    static DONE: Mutex<bool> = Mutex::new(false);
    let mut done = lock(&DONE);
    if *done {
        return Ok(());
    }
    // SAFETY: the VFS that is found stays for as long as the process; ours is made of its fields, never freed, and its
    // name and methods are constants.
    let result = unsafe {
        let before = ffi::sqlite3_vfs_find(ptr::null());
        if before.is_null() {
            return Err(io::Error::other("SQLite has no VFS"));
        }
        let mut ours = *before;
        ours.szOsFile = ours.szOsFile.max(c_int::try_from(size_of::<Opened>()).unwrap_or(c_int::MAX));
        ours.pNext = ptr::null_mut();
        ours.zName = NAME.as_ptr();
        ours.xOpen = Some(open);
        ours.xDelete = Some(delete);
        ours.xAccess = Some(access);
        ours.xFullPathname = Some(full_pathname);
        BEFORE.get_or_init(|| before as usize);
        ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 1)
    };
    if result != ffi::SQLITE_OK {
        return Err(io::Error::other(format!("SQLite does not take the VFS: {result}")));
    }
    *done = true;
    Ok(())
}

fn before() -> *mut sqlite3_vfs {
    BEFORE.get().map_or(ptr::null_mut(), |before| *before as *mut sqlite3_vfs)
}

/// The disk on which a file lies, if it is one of a simulated disk.
fn find(name: *const c_char) -> Option<(Arc<Mutex<State>>, PathBuf)> {
    if name.is_null() {
        return None;
    }
    // SAFETY: SQLite gives names that end with a zero, and keeps them for the length of the call.
    let name = unsafe { CStr::from_ptr(name) };
    let path = Path::new(OsStr::from_bytes(name.to_bytes()));
    if !is_ours(path) {
        return None;
    }
    let disks = lock(&DISKS);
    let (_, disk) = disks.iter().find(|(folder, _)| path.starts_with(folder))?;
    Some((disk.clone(), path.to_path_buf()))
}

/// The handle of an open file.
fn of<'a>(file: *mut sqlite3_file) -> &'a Handle {
    // SAFETY: SQLite hands over what `open` has filled in, and calls no method behind `close`.
    unsafe { &*(*file.cast::<Opened>()).handle }
}

fn done(result: io::Result<()>, code: c_int) -> c_int {
    match result {
        Ok(()) => ffi::SQLITE_OK,
        Err(e) => {
            log::error!("the simulated disk: {e}");
            code
        }
    }
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let Some((disk, path)) = find(name) else {
        let before = before();
        // SAFETY: the call goes on as it came, to whom it would have come to; the file has room for both.
        return unsafe {
            (*before).xOpen.map_or(ffi::SQLITE_CANTOPEN, |open| open(before, name, file, flags, out))
        };
    };
    let opened = lock(&disk).open(&path, flags & ffi::SQLITE_OPEN_CREATE != 0);
    // SAFETY: the file has room for what the VFS has said; `out` may be null.
    unsafe {
        let file = file.cast::<Opened>();
        (*file).base.pMethods = ptr::null();
        let Ok((key, who)) = opened else { return ffi::SQLITE_CANTOPEN };
        (*file).handle = Box::into_raw(Box::new(Handle { disk, key, who }));
        (*file).base.pMethods = &raw const METHODS;
        if !out.is_null() {
            *out = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    let Some((disk, path)) = find(name) else {
        let before = before();
        // SAFETY: as for `open`.
        return unsafe {
            (*before).xDelete.map_or(ffi::SQLITE_IOERR_DELETE, |delete| delete(before, name, sync))
        };
    };
    let deleted = lock(&disk).delete(&path);
    if deleted.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
        return ffi::SQLITE_IOERR_DELETE_NOENT;
    }
    done(deleted, ffi::SQLITE_IOERR_DELETE)
}

unsafe extern "C" fn access(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let Some((disk, path)) = find(name) else {
        let before = before();
        // SAFETY: as for `open`.
        return unsafe {
            (*before).xAccess.map_or(ffi::SQLITE_IOERR_ACCESS, |access| access(before, name, flags, out))
        };
    };
    let size = lock(&disk).size_of(&path);
    // As that of Unix: a file without content is as good as none.
    let there = size.is_some_and(|size| size > 0 || flags != ffi::SQLITE_ACCESS_EXISTS);
    // SAFETY: SQLite wants the answer there.
    unsafe { *out = c_int::from(there) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    let before = before();
    // SAFETY: as for `open`; only this VFS must see itself in the first argument.
    unsafe { (*before).xFullPathname.map_or(ffi::SQLITE_CANTOPEN, |full| full(before, name, room, out)) }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock_file),
    xUnlock: Some(unlock_file),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(map),
    xShmLock: Some(lock_shared),
    xShmBarrier: Some(barrier),
    xShmUnmap: Some(unmap),
    xFetch: None,
    xUnfetch: None,
};

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: `open` has made it, and SQLite closes a file once.
    let handle = unsafe { Box::from_raw((*file.cast::<Opened>()).handle) };
    lock(&handle.disk).close(handle.key, handle.who);
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    into: *mut c_void,
    n: c_int,
    offset: sqlite3_int64,
) -> c_int {
    let (handle, n) = (of(file), usize::try_from(n).unwrap_or(0));
    // SAFETY: SQLite gives room for so many bytes.
    let into = unsafe { std::slice::from_raw_parts_mut(into.cast::<u8>(), n) };
    let there = lock(&handle.disk).read(handle.key, offset.cast_unsigned(), into);
    into[there..].fill(0);
    if there < n { ffi::SQLITE_IOERR_SHORT_READ } else { ffi::SQLITE_OK }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    n: c_int,
    offset: sqlite3_int64,
) -> c_int {
    let (handle, n) = (of(file), usize::try_from(n).unwrap_or(0));
    // SAFETY: SQLite gives so many bytes.
    let piece = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), n) };
    if lock(&handle.disk).write(handle.key, offset.cast_unsigned(), piece) {
        ffi::SQLITE_OK
    } else {
        ffi::SQLITE_FULL
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    let handle = of(file);
    lock(&handle.disk).truncate(handle.key, size.cast_unsigned());
    ffi::SQLITE_OK
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _: c_int) -> c_int {
    let handle = of(file);
    let synced = lock(&handle.disk).sync(handle.key);
    done(synced, ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(file: *mut sqlite3_file, out: *mut sqlite3_int64) -> c_int {
    let handle = of(file);
    let size = lock(&handle.disk).size(handle.key);
    // SAFETY: SQLite wants the answer there.
    unsafe { *out = size.cast_signed() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn lock_file(file: *mut sqlite3_file, level: c_int) -> c_int {
    let handle = of(file);
    let got = lock(&handle.disk).locks(handle.key).is_some_and(|locks| locks.lock(handle.who, level));
    if got { ffi::SQLITE_OK } else { ffi::SQLITE_BUSY }
}

unsafe extern "C" fn unlock_file(file: *mut sqlite3_file, level: c_int) -> c_int {
    let handle = of(file);
    if let Some(locks) = lock(&handle.disk).locks(handle.key) {
        locks.unlock(handle.who, level);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved(file: *mut sqlite3_file, out: *mut c_int) -> c_int {
    let handle = of(file);
    let reserved = lock(&handle.disk).locks(handle.key).is_some_and(|locks| locks.is_reserved());
    // SAFETY: SQLite wants the answer there.
    unsafe { *out = c_int::from(reserved) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn control(_: *mut sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_: *mut sqlite3_file) -> c_int {
    SECTOR
}

unsafe extern "C" fn characteristics(_: *mut sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn map(
    file: *mut sqlite3_file,
    piece: c_int,
    bytes: c_int,
    make: c_int,
    out: *mut *mut c_void,
) -> c_int {
    let handle = of(file);
    let (piece, bytes) = (usize::try_from(piece).unwrap_or(0), usize::try_from(bytes).unwrap_or(0));
    let found = lock(&handle.disk).shared(handle.key, piece, bytes, make != 0);
    // SAFETY: SQLite wants the answer there.
    unsafe { *out = found.map_or(ptr::null_mut(), <*mut u64>::cast) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn lock_shared(file: *mut sqlite3_file, from: c_int, n: c_int, flags: c_int) -> c_int {
    let handle = of(file);
    let from = usize::try_from(from).unwrap_or(SHARED_LOCKS);
    let slots = from..from + usize::try_from(n).unwrap_or(0);
    let alone = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
    let mut disk = lock(&handle.disk);
    let Some(locks) = disk.locks(handle.key) else { return ffi::SQLITE_IOERR_SHMLOCK };
    if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        locks.unlock_shared(handle.who, slots, alone);
        return ffi::SQLITE_OK;
    }
    if locks.lock_shared(handle.who, slots, alone) { ffi::SQLITE_OK } else { ffi::SQLITE_BUSY }
}

unsafe extern "C" fn barrier(_: *mut sqlite3_file) {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

/// The memory goes when the last connection closes its file.
unsafe extern "C" fn unmap(_: *mut sqlite3_file, _: c_int) -> c_int {
    ffi::SQLITE_OK
}
