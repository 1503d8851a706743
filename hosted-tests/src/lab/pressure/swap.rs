//! Swap of our own, on compressed memory or a loop device: how it is known from that of others, and how it is removed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

/// The name that our swap has on it: 15 bytes at most.
pub(super) const LABEL: &str = "forebay-press";

/// Runs a program of the system. Gives what it printed, or what it complained about.
pub(super) fn run(
    program: &str,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<String, String> {
    // A shell of root may have been started without these.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let output = Command::new(program)
        .args(args)
        .env("PATH", path)
        .env("LC_ALL", "C")
        .output()
        .map_err(|why| format!("{program}: {why}: install util-linux"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().next_back().unwrap_or(program).to_owned())
}

/// What the system swaps to.
pub(super) fn swaps() -> Result<Vec<PathBuf>, String> {
    let text = fs::read_to_string("/proc/swaps").map_err(|why| format!("/proc/swaps: {why}"))?;
    Ok(text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(PathBuf::from).collect())
}

/// Ends swapping to a device, if it is ours.
pub(super) fn swap_off(device: &Path) -> Result<(), String> {
    match swaps()?.iter().any(|used| used == device) && label(device) == Some(true) {
        true => run("swapoff", [device]).map(|_| ()),
        false => Ok(()),
    }
}

/// Whether a device has our swap on it. `None` if there is nothing on it.
fn label(device: &Path) -> Option<bool> {
    // The kernel's `union swap_header`: the name is behind three numbers and an identifier.
    const AT: usize = 1024 + 3 * 4 + 16;
    let mut header = [0; 4096];
    File::open(device).ok()?.read_exact(&mut header).ok()?;
    if header.iter().all(|byte| *byte == 0) {
        return None;
    }
    Some(header.ends_with(b"SWAPSPACE2") && header[AT..].starts_with(LABEL.as_bytes()))
}

/// Removes a device of compressed memory, unless something else than ours is on it.
pub(super) fn remove_zram(number: u32) -> Result<(), String> {
    let device = PathBuf::from(format!("/dev/zram{number}"));
    if !Path::new("/sys/block").join(format!("zram{number}")).exists() {
        return Ok(());
    }
    if swaps()?.contains(&device) {
        return Err(format!("{} stays: it is still in use as swap: swapoff it", device.display()));
    }
    if label(&device) == Some(false) {
        return Err(format!("{} stays: something else than ours is on it", device.display()));
    }
    retried(|| fs::write("/sys/class/zram-control/hot_remove", number.to_string())).map_err(|why| {
        format!("{} stays ({why}): write {number} to /sys/class/zram-control/hot_remove", device.display())
    })
}

/// Removes a file, and the loop device over it.
pub(super) fn remove_loop(file: &Path) -> Result<(), String> {
    for device in loops_of(file) {
        run("losetup", [Path::new("-d"), &device])?;
    }
    match fs::remove_file(file) {
        Err(why) if why.kind() != ErrorKind::NotFound => {
            Err(format!("{} stays ({why}): remove it", file.display()))
        }
        _ => Ok(()),
    }
}

/// The loop devices over a file.
pub(super) fn loops_of(file: &Path) -> Vec<PathBuf> {
    let Ok(devices) = fs::read_dir("/sys/block") else { return vec![] };
    let over = |device: &Path| fs::read_to_string(device.join("loop/backing_file"));
    let all =
        devices.flatten().filter(|device| over(&device.path()).is_ok_and(|at| Path::new(at.trim()) == file));
    all.map(|device| Path::new("/dev").join(device.file_name())).collect()
}

/// A device is in use for a moment after it was looked at by others, such as udev.
fn retried(mut f: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let mut tries = 0..100;
    loop {
        match f() {
            Err(why) if why.kind() == ErrorKind::ResourceBusy && tries.next().is_some() => {
                sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: swap is ours by the name on it; what has another one, or is something else, is not.
    #[test]
    fn whose_swap() {
        let dir = tempfile::tempdir().expect("a directory");
        let device = dir.path().join("device");
        let with = |name: &[u8], end: &[u8]| {
            let mut bytes = vec![0; 8192];
            bytes[1024] = 1;
            bytes[1052..1052 + name.len()].copy_from_slice(name);
            bytes[4096 - end.len()..4096].copy_from_slice(end);
            fs::write(&device, bytes).expect("a file");
            label(&device)
        };
        assert_eq!(with(LABEL.as_bytes(), b"SWAPSPACE2"), Some(true));
        assert_eq!(with(b"swap", b"SWAPSPACE2"), Some(false));
        assert_eq!(with(LABEL.as_bytes(), b"something"), Some(false));
        fs::write(&device, [0; 8192]).expect("a file");
        assert_eq!(label(&device), None);
    }
}
