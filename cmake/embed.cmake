# gauntlet_embed(TARGET NAMESPACE_NAME file…): compiles data files into TARGET as constexpr string_views, so that the program is one file.
# The generated header <NAMESPACE_NAME>.h (in build/generated) offers
#   struct EmbeddedFile { std::string_view name, text; };  std::span<const EmbeddedFile> embedded_NAME();
function(gauntlet_embed target name)
  set(inputs "")
  foreach(file ${ARGN})
    list(APPEND inputs ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  endforeach()
  set(directory ${PROJECT_BINARY_DIR}/generated/embedded)
  set(output ${directory}/${name}.cpp)
  add_custom_command(
    OUTPUT ${output} ${directory}/${name}.h
    COMMAND ${CMAKE_COMMAND} -DNAME=${name} -DDIRECTORY=${directory} "-DINPUTS=${inputs}" -P ${PROJECT_SOURCE_DIR}/cmake/embed_files.cmake
    DEPENDS ${inputs} ${PROJECT_SOURCE_DIR}/cmake/embed_files.cmake
    VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()
