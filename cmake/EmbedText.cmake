# cmake -DIN=FILE -DOUT=FILE.cc -DNAME=kName -P EmbedText.cmake: the text of a file as `const std::string_view xebec::kName`.
file(READ "${IN}" text)
file(WRITE "${OUT}" "#include <string_view>

namespace xebec {

extern const std::string_view ${NAME};
const std::string_view ${NAME} = R\"~~~(${text})~~~\";

}  // namespace xebec
")
