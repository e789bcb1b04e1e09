//! The memory that the program's own code takes.

/// Where a part of the program is in memory.
#[cfg(any(target_os = "linux", test))]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct CodeRange {
    start: usize,
    end: usize,
}

/// Gives back the memory of code and constants that were used so far: what is used again comes back page by page, from the page cache.
///
/// Most of what runs at the start does not run again. The pages are of the program's file, and never written: they are clean, and nothing
/// is lost with them. Where the program's file cannot be told from others, and elsewhere than on Linux, this does nothing.
pub fn give_back_code() {
    #[cfg(target_os = "linux")]
    {
        let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
        let Ok(program) = std::fs::read_link("/proc/self/exe") else { return };
        let Some(program) = program.to_str() else { return };
        for CodeRange { start, end } in ranges(&maps, program) {
            // SAFETY: the range is a private mapping of the program's file that is not writable, as the kernel tells: its pages are
            // those of the file, and the next access to one maps it again. Relocated constants are mapped at another place of the
            // file, and are not among them.
            unsafe {
                libc::madvise(std::ptr::with_exposed_provenance_mut(start), end - start, libc::MADV_DONTNEED)
            };
        }
    }
}

/// Where code is, and what is mapped from the front of the program's file: headers, relocations and constants that need none.
#[cfg(any(target_os = "linux", test))]
fn ranges<'m>(maps: &'m str, program: &'m str) -> impl Iterator<Item = CodeRange> + 'm {
    maps.lines().filter_map(move |line| {
        let mut words = line.split_ascii_whitespace();
        let (range, rights, offset) = (words.next()?, words.next()?, words.next()?);
        // The device and the inode; a path may have spaces in it.
        let path = line.get(line.find('/')?..)?;
        let is_of_front = u64::from_str_radix(offset, 16) == Ok(0);
        let is_clean = rights == "r-xp" || rights == "r--p" && is_of_front;
        let (start, end) = range.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        (path == program && is_clean).then_some(())?;
        let (start, end) = (address(start)?, address(end)?);
        (start < end).then_some(CodeRange { start, end })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clean_pages_of_the_program_are_given_back() {
        let maps = "\
55d000000000-55d000599000 r--p 00000000 fe:00 393 /usr/bin/stand pipe
55d000599000-55d00198e000 r-xp 00598000 fe:00 393 /usr/bin/stand pipe
55d00198e000-55d001a78000 r--p 0198c000 fe:00 393 /usr/bin/stand pipe
55d001a78000-55d001aa4000 rw-p 01a75000 fe:00 393 /usr/bin/stand pipe
55d002a00000-55d002a21000 rw-p 00000000 00:00 0 [heap]
7f0000000000-7f0000026000 r--p 00000000 fe:00 77 /lib/x86_64-linux-gnu/libc.so.6
7f0000026000-7f000017b000 r-xp 00026000 fe:00 77 /lib/x86_64-linux-gnu/libc.so.6
7ffe00000000-7ffe00002000 r-xp 00000000 00:00 0 [vdso]
not a mapping
";
        let found: Vec<CodeRange> = ranges(maps, "/usr/bin/stand pipe").collect();
        let expected = [
            CodeRange { start: 0x55d0_0000_0000, end: 0x55d0_0059_9000 },
            CodeRange { start: 0x55d0_0059_9000, end: 0x55d0_0198_e000 },
        ];
        assert_eq!(found, expected);
        assert_eq!(ranges(maps, "/usr/bin/other").count(), 0);
    }

    #[test]
    fn the_program_goes_on_after_its_code_was_given_back() {
        for _ in 0..3 {
            give_back_code();
            assert_eq!("a word".to_uppercase(), "A WORD");
        }
    }
}
