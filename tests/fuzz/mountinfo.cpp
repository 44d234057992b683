// /proc/self/mountinfo, where anybody may have named a mount, and the other texts of /proc.
#include "fs/proc_files.h"
#include "tests/fuzz/fuzz_target.h"

void swarmfs::fuzz::run(Bytes input) {
  for (const fs::MountLine& line : fs::parse_mountinfo(text_of(input))) {
    require(line.mountpoint.size() <= input.size() && line.source.size() <= input.size(),
            "no more than was said");
  }
  (void)fs::judge_reader(text_of(input));
  (void)fs::is_exiting(text_of(input));
  (void)fs::is_page_wait(text_of(input));
}
