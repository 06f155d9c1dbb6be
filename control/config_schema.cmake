# SPDX-License-Identifier: BSD-2-Clause
# FROM, a JSON file, as a string in TO, a C++ source. In pieces: compilers bound the length of one literal.
file(READ ${FROM} text)
string(LENGTH "${text}" length)
set(pieces "")
set(at 0)
while(at LESS length)
  string(SUBSTRING "${text}" ${at} 8000 piece)
  string(APPEND pieces "R\"schema(${piece})schema\"\n")
  math(EXPR at "${at} + 8000")
endwhile()
file(WRITE ${TO} "#include \"control/config_schema.h\"\nnamespace xebec {\nconst char* const kConfigSchema =\n${pieces};\n}\n")
