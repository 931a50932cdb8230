// NumPy's array files: versions, types, and errors of malformed files.
#include "data/npy.h"

#include <gtest/gtest.h>

#include "tests/data/npz_writer.h"

namespace apam::data {
namespace {

TEST(Npy, ReadsEveryVersionAndType) {
  for (const int major : {1, 2, 3}) {
    const Npy floats = read_npy("test", npy("<f4", "(2, 3)", Bytes(24, 0), major));
    EXPECT_EQ(to_string(floats.header), "float32 (2, 3)");
    EXPECT_EQ(floats.header.bytes, 128U);
    EXPECT_EQ(floats.values.size(), 24U);
  }
  EXPECT_EQ(read_npy("test", npy("|u1", "(2,)", {7, 200})).number(1), 200);
  EXPECT_EQ(read_npy("test", npy("<i4", "(1,)", {0xfe, 0xff, 0xff, 0xff})).number(0), -2);
  EXPECT_EQ(read_npy("test", npy("<i8", "(1,)", {1, 0, 0, 0, 1, 0, 0, 0})).number(0), 4294967297.0);
  EXPECT_EQ(read_npy("test", npy("<f4", "(1,)", {0, 0, 0xc0, 0x3f})).number(0), 1.5);
  EXPECT_EQ(read_npy("test", npy("<f8", "()", doubles({-0.25}))).number(0), -0.25);
  EXPECT_EQ(read_npy("test", npy("<f8", "(0, 5)", {})).header.count(), 0U);
  EXPECT_EQ(to_string(read_npy("test", npy("|u1", "(1,)", {0})).header), "uint8 (1,)");
}

TEST(Npy, ReadsHeadersOfOtherWriters) {
  for (const char* header : {
           "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1)}\n",
           "{\"shape\":(2,1,),\"fortran_order\":False,\"descr\":\"|u1\"}\n",
           "  { 'fortran_order' : False , 'descr' : '|u1' , 'shape' : ( 2L , 1L ) , }    \n",
       }) {
    EXPECT_EQ(to_string(read_npy("test", npy_of(header, {1, 2})).header), "uint8 (2, 1)") << header;
  }
}

TEST(Npy, ReadsAFile) {
  const TemporaryFolder folder;
  const auto path = folder.write("image_mean.npy", npy("<f8", "(2,)", doubles({1.0, 2.5})));
  EXPECT_EQ(read_npy(path).number(1), 2.5);
  folder.write("image_mean.npy", npy("<f8", "(3,)", doubles({1.0, 2.5})));
  EXPECT_TRUE(throws<InputError>({"npy", path.native(), "16", "float64 (3,)", "24"}, [&] { read_npy(path); }));
}

struct MalformedNpy {
  const char* name;
  Bytes file;
  std::vector<std::string_view> words;
};

void PrintTo(const MalformedNpy& file, std::ostream* out) { *out << file.name; }

std::vector<MalformedNpy> malformed_arrays() {
  const auto with = [](std::string_view header) { return npy_of(header, {1}); };
  Bytes version = npy("|u1", "(1,)", {1});
  version[6] = 4;
  Bytes magic = npy("|u1", "(1,)", {1});
  magic[1] = 'n';
  Bytes long_header = npy("|u1", "(1,)", {1});
  long_header[8] = 0xff;
  return {
      {"empty", {}, {"0", "10"}},
      {"short", {0x93, 'N', 'U'}, {"3", "10"}},
      {"magic", magic, {"93 6e", "93 4e"}},
      {"version", version, {"4.0", "1.0"}},
      {"header_beyond_the_end", long_header, {"255", "119"}},
      {"header_too_long", npy_of(std::string(10001, ' '), {}), {"10001", "10000"}},
      {"wide_header_too_long", npy_of(std::string(70000, ' '), {}, 2), {"70000", "10000"}},
      {"objects", npy("|O", "(1,)", {1}), {"|O", "pickled", "|u1"}},
      {"big_endian", npy(">f8", "(1,)", Bytes(8, 0)), {">f8", "big-endian", "<f8"}},
      {"complex", npy("<c16", "(1,)", Bytes(16, 0)), {"<c16", "<f8"}},
      {"unicode", npy("<U5", "(1,)", Bytes(20, 0)), {"<U5"}},
      {"structured", with("{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (1,)}\n"), {"structured", "|u1"}},
      {"fortran", npy("|u1", "(1,)", {1}, 1, "True"), {"fortran_order", "True", "False"}},
      {"fortran_number", npy("|u1", "(1,)", {1}, 1, "0"), {"0", "True or False"}},
      {"missing_key", with("{'descr': '|u1', 'fortran_order': False}\n"), {"shape"}},
      {"extra_key", with("{'descr': '|u1', 'fortran_order': False, 'shape': (1,), 'x': 1}\n"), {"x", "descr"}},
      {"repeated_key", with("{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (1,)}\n"), {"descr", "twice"}},
      {"not_a_dictionary", with("['descr', '|u1']\n"), {"0", "{"}},
      {"text_after", with("{'descr': '|u1', 'fortran_order': False, 'shape': (1,)} x\n"), {"x"}},
      {"no_line_feed", with("{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}"), {"line feed"}},
      {"unterminated", with("{'descr': '|u1"), {"|u1", "string"}},
      {"number_as_shape", npy("|u1", "(1)", {1}), {")", ","}},
      {"negative", npy("|u1", "(-1,)", {1}), {"-1", "size"}},
      {"huge_size", npy("|u1", "(99999999999999999999,)", {1}), {"99999999999999999999", "9223372036854775807"}},
      {"overflow", npy("<f8", "(4294967296, 4294967296)", {1}), {"4294967296, 4294967296", "2^64"}},
      {"dimensions", npy("|u1", "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)", {1}), {"32"}},
      {"too_few_values", npy("<i4", "(3,)", Bytes(11, 0)), {"11", "int32 (3,)", "12"}},
      {"too_many_values", npy("<i4", "(3,)", Bytes(13, 0)), {"13", "int32 (3,)", "12"}},
      {"long_suffix_in_version_3", npy("|u1", "(1L,)", {1}, 3), {"L", ","}},
  };
}

class MalformedArray : public testing::TestWithParam<MalformedNpy> {};

TEST_P(MalformedArray, IsRejected) {
  std::vector<std::string_view> words = GetParam().words;
  words.insert(words.begin(), "FILE.npy");
  EXPECT_TRUE(throws<InputError>(words, [] { read_npy("FILE.npy", GetParam().file); }));
}

INSTANTIATE_TEST_SUITE_P(Npy, MalformedArray, testing::ValuesIn(malformed_arrays()),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace apam::data
