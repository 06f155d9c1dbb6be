// SPDX-License-Identifier: BSD-2-Clause
// CPU time: the lines cpu0, cpu1, ... of /proc/stat (proc(5)).
#include "bench/cpu_time.h"

#include <unistd.h>

#include <cctype>
#include <fstream>
#include <sstream>
#include <string>

namespace xebec::bench {

std::vector<double> busy_seconds() {
  const auto tick = 1.0 / static_cast<double>(sysconf(_SC_CLK_TCK));
  std::vector<double> busy;
  std::ifstream stat("/proc/stat");
  for (std::string line; std::getline(stat, line);) {
    if (line.rfind("cpu", 0) != 0 || std::isdigit(static_cast<unsigned char>(line[3])) == 0) continue;
    std::istringstream fields(line);
    std::string name;
    double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0;
    fields >> name >> user >> nice >> system >> idle >> iowait >> irq >> softirq;
    busy.push_back((user + nice + system + irq + softirq) * tick);
  }
  return busy;
}

}  // namespace xebec::bench
